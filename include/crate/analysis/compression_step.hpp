// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/subspace_coding_rate.hpp"
#include "crate/operators/subspaces.hpp"

// How much a layer's step lowers the rate R^c, compared with the exact gradient step.

namespace crate {

/// Comparison of one step X -> X + S of a token set with the exact step, in the layer's subspaces; rates in nats.
struct StepComparison {
  double cosine = 0;        ///< <S, -grad R^c(X)> / (||S|| ||grad R^c(X)||): 1 straight down, 0 if either is zero
  double rate = 0;          ///< R^c(X | U_[K])
  double change = 0;        ///< R^c(X + S) - R^c(X)
  double exact_change = 0;  ///< R^c(X - t grad R^c(X)) - R^c(X), t such that the exact step is as long as S
};

/// Compares the step S, d x N, from tokens X, d x N, with the step along the gradient of eq. (9) of arXiv 2311.13110.
/// An MSSA step need not lower R^c: as published, it omits the term a Z of the gradient. Cost: three rates and a
/// gradient, in double, because changes are small differences of rates. If the subspaces' map has a bias b, K p, the
/// rates are those of U^T X + b 1^T. Throws as subspace_coding_rate, and ShapeError unless S has the size of X and b,
/// if any, K p entries.
template <class XDerived, class Bases, class StepDerived>
[[nodiscard]] StepComparison compare_with_exact_step(const Eigen::MatrixBase<XDerived>& tokens,
                                                     const Subspaces<Bases>& subspaces,
                                                     const Eigen::MatrixBase<StepDerived>& step,
                                                     const CodingRateOptions& options = {},
                                                     const Vector<double>& bias = Vector<double>()) {
  check_shape("step", step, tokens.rows(), tokens.cols());
  check_size("subspaces: dimension", subspaces.dim(), tokens.rows());
  const Index d = tokens.rows();
  Matrix<double> x = tokens.template cast<double>(), bases = subspaces.bases().template cast<double>();
  if (bias.size() != 0) {  // [U; b^T]^T [X; 1^T]
    check_size("bias of subspaces", bias.size(), bases.cols());
    x.conservativeResize(d + 1, Eigen::NoChange);
    x.row(d).setOnes();
    bases.conservativeResize(d + 1, Eigen::NoChange);
    bases.row(d) = bias.transpose();
  }
  const Subspaces<Matrix<double>> u(std::move(bases), subspaces.heads());
  const Matrix<double> s = step.template cast<double>();
  const Matrix<double> gradient = subspace_coding_rate_gradient(x, u, options).tokens.topRows(d);
  const double length = s.stableNorm(), slope = gradient.stableNorm();
  StepComparison result{.rate = subspace_coding_rate(x, u, options)};
  const auto change = [&](const Matrix<double>& added) {
    Matrix<double> stepped = x;
    stepped.topRows(d) += added;
    return subspace_coding_rate(stepped, u, options) - result.rate;
  };
  result.change = change(s);
  if (length == 0 || slope == 0) return result;
  result.cosine = -s.cwiseProduct(gradient).sum() / (length * slope);
  result.exact_change = change(-length / slope * gradient);
  return result;
}

}  // namespace crate
