// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/subspace_coding_rate.hpp"
#include "crate/operators/subspaces.hpp"

// What a layer's step does to the rate R^c that it is meant to lower, beside the exact gradient step.

namespace crate {

/// Of one step from X to X + S on one token set, in the basis of its layer; rates in nats.
struct StepComparison {
  double cosine = 0;        ///< <S, -grad R^c(X)> / (||S|| ||grad R^c(X)||): 1 straight down, 0 where either is zero
  double rate = 0;          ///< R^c(X | U_[K])
  double change = 0;        ///< R^c(X + S) - R^c(X)
  double exact_change = 0;  ///< R^c(X - t grad R^c(X)) - R^c(X), t such that the exact step is as long as S
};

/// Compares the step S, d x N, from tokens X, d x N, with the one down the gradient of eq. (9) of arXiv 2311.13110. An
/// MSSA step need not lower R^c: as published, it leaves out the term a Z of the gradient. Cost: that of three rates
/// and a gradient. Throws as subspace_coding_rate, and ShapeError unless S is of X's size.
template <class XDerived, class Bases, class StepDerived>
[[nodiscard]] StepComparison compare_with_exact_step(const Eigen::MatrixBase<XDerived>& tokens,
                                                     const Subspaces<Bases>& subspaces,
                                                     const Eigen::MatrixBase<StepDerived>& step,
                                                     const CodingRateOptions& options = {}) {
  using S = typename XDerived::Scalar;
  check_shape("step", step, tokens.rows(), tokens.cols());
  const Matrix<S> x = tokens, s = step;
  const Matrix<S> gradient = subspace_coding_rate_gradient(x, subspaces, options).tokens;
  const double length = static_cast<double>(s.stableNorm()), slope = static_cast<double>(gradient.stableNorm());
  StepComparison result{.rate = subspace_coding_rate(x, subspaces, options)};
  const Matrix<S> stepped = x + s;
  result.change = subspace_coding_rate(stepped, subspaces, options) - result.rate;
  if (length == 0 || slope == 0) return result;
  const auto inner = (s.template cast<double>().array() * gradient.template cast<double>().array()).sum();
  result.cosine = -inner / (length * slope);
  const Matrix<S> exact = x - static_cast<S>(length / slope) * gradient;
  result.exact_change = subspace_coding_rate(exact, subspaces, options) - result.rate;
  return result;
}

}  // namespace crate
