// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

struct LayerNormOptions {
  double epsilon = 1e-5;  ///< added to the variance, epsilon >= 0

  void check() const { check_option(epsilon >= 0, "layer norm epsilon >= 0", epsilon); }
};

namespace detail {

template <class Column, class Weight, class Bias, class Out>
void layer_norm_column(const Column& token, const Weight& weight, const Bias& bias, double epsilon, Out&& out) {
  using S = typename Column::Scalar;
  const S mean = token.mean();
  const S variance = (token.array() - mean).square().mean();
  const S inverse_deviation = 1 / std::sqrt(variance + static_cast<S>(epsilon));
  out = (token.array() - mean) * inverse_deviation * weight.array() + bias.array();
}

}  // namespace detail

/// Normalises each token z over its d coordinates: weight .* (z - mean z) / sqrt(var z + epsilon) + bias, with the variance
/// divided by d. `weight` and `bias` are d x 1.
/// Throws OptionError on a negative epsilon, ShapeError on a wrong size.
template <class ZDerived, class WeightDerived, class BiasDerived>
[[nodiscard]] Plain<ZDerived> layer_norm(const Eigen::MatrixBase<ZDerived>& tokens,
                                         const Eigen::MatrixBase<WeightDerived>& weight,
                                         const Eigen::MatrixBase<BiasDerived>& bias,
                                         const LayerNormOptions& options = {}) {
  options.check();
  check_not_empty("layer norm: tokens", tokens);
  check_shape("layer norm: weight", weight, tokens.rows(), 1);
  check_shape("layer norm: bias", bias, tokens.rows(), 1);
  Plain<ZDerived> result = tokens;
  for (Index j = 0; j < result.cols(); ++j)
    detail::layer_norm_column(result.col(j), weight, bias, options.epsilon, result.col(j));
  return result;
}

}  // namespace crate
