// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>

#include "crate/core/product.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/layer_norm.hpp"

namespace crate {

/// LN(Z): each token normalised over its coordinates, then scaled and shifted. See operators/layer_norm.hpp.
template <crate::Scalar S>
struct LayerNorm {
  using Scalar = S;

  Vector<S> weight;  ///< d
  Vector<S> bias;    ///< d
  LayerNormOptions options;

  /// Weight 1, bias 0. Throws OptionError unless dim >= 1 and the options hold.
  explicit LayerNorm(Index dim, const LayerNormOptions& norm_options = {}) : options(norm_options) {
    options.check();
    check_option(dim >= 1, "layer norm: dimension >= 1", dim);
    weight.setOnes(dim);
    bias.setZero(dim);
  }

  static constexpr auto parts() {
    return std::tuple{part("weight", &LayerNorm::weight), part("bias", &LayerNorm::bias)};
  }

  [[nodiscard]] Index input_dim() const { return weight.size(); }
  [[nodiscard]] Index output_dim() const { return weight.size(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "LN(" + argument + ")"; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("layer norm: rows of the tokens", z.rows(), weight.size());
    check_size("layer norm: rows of the output", out.rows(), weight.size());
    check_size("layer norm: bias", bias.size(), weight.size());
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j)
        detail::layer_norm_column(z.col(j), weight, bias, options.epsilon, out.col(j));
    });
  }

  /// Weight 1, bias 0.
  void initialise(Random&) {
    weight.setOnes();
    bias.setZero();
  }
};

}  // namespace crate
