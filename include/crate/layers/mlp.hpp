// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/layers/chain.hpp"
#include "crate/layers/gelu.hpp"
#include "crate/layers/linear.hpp"

namespace crate {

/// W_2 GELU(W_1 Z + b_1) + b_2, for each token by itself.
template <crate::Scalar S>
struct Mlp : Chain<Mlp<S>, S> {
  static constexpr bool is_tokenwise = true;

  Linear<S> expand;
  Gelu<S> activation;
  Linear<S> contract;

  /// All zero. Throws OptionError unless both dimensions are positive.
  Mlp(Index dim, Index hidden, GeluForm form = GeluForm::exact)
      : expand(dim, hidden), activation{hidden, form}, contract(hidden, dim) {}

  static constexpr auto parts() {
    return std::tuple{part("expand", &Mlp::expand), part("activation", &Mlp::activation),
                      part("contract", &Mlp::contract)};
  }
};

}  // namespace crate
