// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "crate/core/random.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/recording.hpp"
#include "crate/testing/finding.hpp"
#include "crate/testing/finite_difference.hpp"

// Backward passes against central differences.

namespace crate::testing {

namespace detail {

/// sum C .* f(Z) in a recorded pass.
template <TrainableLayer L>
[[nodiscard]] double weighted_sum(const L& layer, const TokenSets<double>& sets, const Matrix<double>& weights,
                                  const Run<double>& run) {
  Recording<L> recording;
  return weights.cwiseProduct(forward(layer, sets, recording, run).tokens).sum();
}

}  // namespace detail

/// Law: the backward pass of a layer gives the gradient of sum C .* f(Z), for a random C, by the tokens and by every
/// parameter, and adds the latter to what the gradient held. The differences must not straddle a kink, such as a
/// ReLU's: choose a small step. The report names what departs.
template <TrainableLayer L>
[[nodiscard]] Finding check_backward(const L& layer, const TokenSets<double>& sets,
                                     const FiniteDifferenceOptions& options = {.step = 1e-5, .tolerance = 1e-7},
                                     const Run<double>& run = {}) {
  Random random(1);
  Matrix<double> cotangent(layer.output_dim(), sets.tokens.cols());
  random.fill_normal(cotangent);
  Recording<L> recording;
  static_cast<void>(forward(layer, sets, recording, run));
  L gradient = layer;  // not zero, for what backward adds to must stay
  const Matrix<double> by_tokens = backward(layer, cotangent, recording, gradient, run);

  const auto of_tokens = [&](const Matrix<double>& z) {
    return detail::weighted_sum(layer, TokenSets<double>(z, sets.layout), cotangent, run);
  };
  Finding finding = check_gradient("by the tokens", of_tokens, sets.tokens, by_tokens, options);
  L changed = layer;
  for_each_parameter(
      [&](std::string_view name, ParameterKind, auto& parameter, const auto& original, const auto& found) {
        if (!finding) return;
        const auto of_parameter = [&](const Matrix<double>& value) {
          parameter = value;
          const double sum = detail::weighted_sum(changed, sets, cotangent, run);
          parameter = original;
          return sum;
        };
        finding = check_gradient(name, of_parameter, Matrix<double>(original), found - original, options);
      },
      changed, layer, gradient);
  return finding;
}

}  // namespace crate::testing
