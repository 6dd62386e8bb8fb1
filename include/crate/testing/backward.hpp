// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "crate/core/random.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/recording.hpp"
#include "crate/testing/finding.hpp"
#include "crate/testing/finite_difference.hpp"

// Checks of backward passes by central differences.

namespace crate::testing {

namespace detail {

/// sum C .* f(Z), computed in a recorded pass.
template <class L, class Input>
[[nodiscard]] double weighted_sum(const L& layer, const Input& input, const Matrix<double>& weights,
                                  const Run<double>& run) {
  Recording<L> recording;
  return weights.cwiseProduct(forward(layer, input, recording, run).tokens).sum();
}

/// Whether the increase of `gradient` over `layer`'s parameters is the gradient of sum C .* f(Z) for every parameter.
template <class L, class Input>
[[nodiscard]] Finding check_by_parameters(const L& layer, const L& gradient, const Input& input,
                                          const Matrix<double>& cotangent, const FiniteDifferenceOptions& options,
                                          const Run<double>& run) {
  Finding finding;
  L changed = layer;
  for_each_parameter(
      [&](std::string_view name, ParameterKind kind, auto& parameter, const auto& original, const auto& found) {
        if (!finding || kind != ParameterKind::trainable) return;
        const auto of_parameter = [&](const Matrix<double>& value) {
          parameter = value;
          const double sum = weighted_sum(changed, input, cotangent, run);
          parameter = original;
          return sum;
        };
        finding = check_gradient(name, of_parameter, Matrix<double>(original), found - original, options);
      },
      changed, layer, gradient);
  return finding;
}

[[nodiscard]] inline Matrix<double> random_cotangent(Index rows, Index cols) {
  Random random(1);
  Matrix<double> cotangent(rows, cols);
  random.fill_normal(cotangent);
  return cotangent;
}

}  // namespace detail

/// Law: the backward pass of a layer computes the gradient of sum C .* f(Z), for a random C, with respect to the tokens
/// and every trainable parameter, and adds the latter to the gradient passed in. The step must be small enough that
/// differences do not straddle a kink, such as a ReLU's. The report names the first disagreement.
template <TrainableLayer L>
[[nodiscard]] Finding check_backward(const L& layer, const TokenSets<double>& sets,
                                     const FiniteDifferenceOptions& options = {.step = 1e-5, .tolerance = 1e-7},
                                     const Run<double>& run = {}) {
  Recording<L> recording;
  const Matrix<double> cotangent =
      detail::random_cotangent(layer.output_dim(), forward(layer, sets, recording, run).tokens.cols());
  L gradient = layer;  // not zero, to check that backward adds to it
  const Matrix<double> by_tokens = backward(layer, cotangent, recording, gradient, run);

  const auto of_tokens = [&](const Matrix<double>& z) {
    return detail::weighted_sum(layer, TokenSets<double>(z, sets.layout), cotangent, run);
  };
  const Finding finding = check_gradient("by the tokens", of_tokens, sets.tokens, by_tokens, options);
  return finding ? detail::check_by_parameters(layer, gradient, sets, cotangent, options, run) : finding;
}

/// check_backward for a model, with respect to every trainable parameter.
template <TrainableFrontEnd L>
[[nodiscard]] Finding check_backward(const L& model, const typename L::Input& input,
                                     const FiniteDifferenceOptions& options = {.step = 1e-5, .tolerance = 1e-7},
                                     const Run<double>& run = {}) {
  Recording<L> recording;
  const Matrix<double> cotangent =
      detail::random_cotangent(model.output_dim(), forward(model, input, recording, run).tokens.cols());
  L gradient = model;
  backward(model, cotangent, recording, gradient, run);
  return detail::check_by_parameters(model, gradient, input, cotangent, options, run);
}

}  // namespace crate::testing
