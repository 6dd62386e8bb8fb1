// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>

#include "crate/core/random.hpp"
#include "crate/kernels/layer_norm.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/layer_norm.hpp"

namespace crate {

/// LN(Z): each token normalised over its coordinates, then scaled and shifted. See operators/layer_norm.hpp.
template <crate::Scalar S>
struct LayerNorm {
  using Scalar = S;
  static constexpr bool is_tokenwise = true;

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
    Workspace::Frame frame(pass.workspace);
    auto mean = frame.template matrix<S>(1, z.cols()), inverse_deviation = frame.template matrix<S>(1, z.cols());
    normalise(z, out, {mean.data(), inverse_deviation.data()}, pass);
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    check_sizes(z, out);
    auto mean = pass.keep(1, z.cols()), inverse_deviation = pass.keep(1, z.cols());
    normalise(z, out, {mean.data(), inverse_deviation.data()}, pass);
    tape = {z, mean, inverse_deviation};
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, LayerNorm& gradient,
                Pass<S>& pass) const {
    const auto z = tape.tokens.view();
    detail::layer_norm_adjoint_into<S>(detail::columns_of(z), detail::columns_of(out_cotangent), z.rows(), z.cols(),
                                       weight.data(), {tape.mean.view().data(), tape.inverse_deviation.view().data()},
                                       {gradient.weight.data(), gradient.bias.data()}, detail::columns_of(z_cotangent),
                                       pass.threads);
  }

  /// The bytes of workspace that a pass takes that is not recorded.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& layout, int) const {
    return 2 * Workspace::room<S>(layout.tokens());
  }

  /// Weight 1, bias 0.
  void initialise(Random&) {
    weight.setOnes();
    bias.setZero();
  }

 private:
  void normalise(ConstTokens<S> z, Tokens<S> out, detail::NormStatistics<S> statistics, Pass<S>& pass) const {
    detail::layer_norm_into<S>(detail::columns_of(z), z.rows(), z.cols(), {weight.data(), bias.data(), options.epsilon},
                               detail::columns_of(out), statistics, pass.threads);
  }

  void check_sizes(ConstTokens<S> z, ConstTokens<S> out) const {
    check_size("layer norm: rows of the tokens", z.rows(), weight.size());
    check_size("layer norm: rows of the output", out.rows(), weight.size());
    check_size("layer norm: bias", bias.size(), weight.size());
  }
};

}  // namespace crate
