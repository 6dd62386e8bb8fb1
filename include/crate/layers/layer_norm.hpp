// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>

#include "crate/core/random.hpp"
#include "crate/kernels/product.hpp"
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

  struct Tape {
    Kept<S> tokens;                   ///< Z, from which its normalised self follows again
    Kept<S> mean, inverse_deviation;  ///< of each token, 1 x N
  };

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
    check_sizes(z, out);
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j)
        detail::layer_norm_column(z.col(j), weight, bias, options.epsilon, out.col(j));
    });
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    check_sizes(z, out);
    auto mean = pass.keep(1, z.cols()), inverse_deviation = pass.keep(1, z.cols());
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) {
        const auto moments = detail::token_moments(z.col(j), options.epsilon);
        mean(0, j) = moments.mean;
        inverse_deviation(0, j) = moments.inverse_deviation;
        detail::layer_norm_column(z.col(j), moments, weight, bias, out.col(j));
      }
    });
    tape = {z, mean, inverse_deviation};
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, LayerNorm& gradient,
                Pass<S>& pass) const {
    const auto z = tape.tokens.view();
    const auto moments = [&](Index j) {
      return detail::TokenMoments<S>{tape.mean.view()(0, j), tape.inverse_deviation.view()(0, j)};
    };
    constexpr Index piece_rows = 64;
    pass.threads.for_each_range(z.rows(), piece_rows, [&](Index first, Index count, int) {
      for (Index j = 0; j < z.cols(); ++j)
        detail::add_layer_norm_weight_adjoint(
            z.col(j).segment(first, count), moments(j), out_cotangent.col(j).segment(first, count),
            gradient.weight.segment(first, count), gradient.bias.segment(first, count));
    });
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j)
        detail::layer_norm_adjoint_column(z.col(j), moments(j), weight, out_cotangent.col(j), z_cotangent.col(j));
    });
  }

  /// Weight 1, bias 0.
  void initialise(Random&) {
    weight.setOnes();
    bias.setZero();
  }

 private:
  void check_sizes(ConstTokens<S> z, ConstTokens<S> out) const {
    check_size("layer norm: rows of the tokens", z.rows(), weight.size());
    check_size("layer norm: rows of the output", out.rows(), weight.size());
    check_size("layer norm: bias", bias.size(), weight.size());
  }
};

}  // namespace crate
