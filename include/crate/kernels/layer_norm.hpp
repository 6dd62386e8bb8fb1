// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/threads.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/norm_views.hpp"
#include "crate/kernels/views.hpp"

namespace crate::detail {

/// out = weight .* (z - mean z) / sqrt(var z + epsilon) + bias for `cols` tokens of `dim` numbers, whose mean and
/// 1 / sqrt(var z + epsilon) are left in `statistics`.
template <Scalar S>
void layer_norm_into(Columns<const S> z, Index dim, Index cols, const NormWeights<S>& norm, Columns<S> out,
                     NormStatistics<S> statistics, Threads& threads) {
  with_kernels(instruction_set(),
               [&]<class K>(K) { K::template layer_norm_into<S>(z, dim, cols, norm, out, statistics, threads); });
}

/// The adjoint of layer_norm_into: out = dL/dZ of the cotangent dL/dout, and what belongs to weight and bias is added
/// to their gradients, token after token, so that any number of threads gives the same bits.
template <Scalar S>
void layer_norm_adjoint_into(Columns<const S> z, Columns<const S> cotangent, Index dim, Index cols, const S* weight,
                             NormStatistics<const S> statistics, NormGradient<S> gradient, Columns<S> out,
                             Threads& threads) {
  with_kernels(instruction_set(), [&]<class K>(K) {
    K::template layer_norm_adjoint_into<S>(z, cotangent, dim, cols, weight, statistics, gradient, out, threads);
  });
}

}  // namespace crate::detail
