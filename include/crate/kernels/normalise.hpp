// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "crate/core/threads.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/views.hpp"

namespace crate::detail {

/// inverse_deviations[j] = 1 / sqrt(variance + epsilon) of token j.
template <Scalar S>
void inverse_deviations_into(InstructionSet set, Columns<const S> z, Index dim, Index cols, double epsilon,
                             S* inverse_deviations, Threads& threads) {
  with_kernels(set, [&]<class K>(K) {
    K::template inverse_deviations_into<S>(z, dim, cols, epsilon, inverse_deviations, threads);
  });
}

/// out = z, or with an epsilon (z - mean) / sigma, each token followed by 0 up to a whole number of pairs.
template <class Out>
void normalise_tokens_into(InstructionSet set, Columns<const float> z, Index dim, Index cols,
                           std::optional<double> norm_epsilon, Columns<Out> out, Threads& threads) {
  with_kernels(set,
               [&]<class K>(K) { K::template normalise_tokens_into<Out>(z, dim, cols, norm_epsilon, out, threads); });
}

}  // namespace crate::detail
