// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

struct LayerNormOptions {
  double epsilon = 1e-5;  ///< added to the variance, epsilon >= 0

  void check() const {
    check_option(std::isfinite(epsilon) && epsilon >= 0, "a finite layer norm epsilon >= 0", epsilon);
  }
};

/// dL/dZ, dL/dweight and dL/dbias of a layer norm.
template <class TokensPlain, class WeightPlain, class BiasPlain>
struct LayerNormGradient {
  TokensPlain tokens;  ///< d x N
  WeightPlain weight;  ///< d
  BiasPlain bias;      ///< d
};

/// Normalises each token z over its d coordinates: weight .* (z - mean z) / sqrt(var z + epsilon) + bias, with the
/// variance divided by d. `weight` and `bias` are d x 1.
/// Throws OptionError on an epsilon out of range, ShapeError on a wrong size.
template <class ZDerived, class WeightDerived, class BiasDerived>
[[nodiscard]] Plain<ZDerived> layer_norm(const Eigen::MatrixBase<ZDerived>& tokens,
                                         const Eigen::MatrixBase<WeightDerived>& weight,
                                         const Eigen::MatrixBase<BiasDerived>& bias,
                                         const LayerNormOptions& options = {});

/// The adjoint of layer_norm: what dL/dLN(Z) = `cotangent`, d x N, becomes of the tokens, the weight and the bias.
/// With x = (z - mean z) / sqrt(var z + epsilon), g = weight .* c for each token z and its cotangent c:
///   dL/dz = (g - mean(g) - x mean(g .* x)) / sqrt(var z + epsilon),   dL/dweight = sum c .* x,   dL/dbias = sum c.
/// Throws as layer_norm, and ShapeError unless the cotangent is d x N.
template <class ZDerived, class WeightDerived, class CotangentDerived>
[[nodiscard]] auto layer_norm_adjoint(const Eigen::MatrixBase<ZDerived>& tokens,
                                      const Eigen::MatrixBase<WeightDerived>& weight,
                                      const Eigen::MatrixBase<CotangentDerived>& cotangent,
                                      const LayerNormOptions& options = {});

}  // namespace crate

#include "crate/operators/detail/layer_norm.ipp"
