// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/detail/regularised_gram.hpp"

// The coding rate R(Z) of a token set, and its gradient.
//
// Letters, here and in the other operators: Z tokens, d x N, a token a column; U_k basis of subspace k, d x p, of K;
// epsilon the precision to which tokens are coded (root of the mean squared error of a token). Rates are in nats per token;
// divide by ln 2 for bits.

namespace crate {

struct CodingRateOptions {
  double epsilon = 0.5;  ///< epsilon > 0

  void check() const { check_option(epsilon > 0, "epsilon > 0", epsilon); }
};

/// a = dim / (N epsilon^2), the factor inside the rates: dim is d in R and p in each term of R^c.
[[nodiscard]] inline double rate_factor(Index dim, Index tokens, double epsilon) {
  return static_cast<double>(dim) / (static_cast<double>(tokens) * epsilon * epsilon);
}

/// R(Z) = 1/2 log det(I + a Z^T Z), a = d / (N epsilon^2). Source: arXiv 2311.13110, eq. (7).
/// Cost: O(d N min(d, N)). Throws OptionError on epsilon <= 0, ShapeError on an empty Z.
template <class ZDerived>
[[nodiscard]] double coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const CodingRateOptions& options = {}) {
  options.check();
  check_not_empty("coding rate: tokens", tokens);
  const auto& z = evaluated(tokens);
  const double a = rate_factor(z.rows(), z.cols(), options.epsilon);
  return 0.5 * detail::RegularisedGram(z, a).log_determinant();
}

/// dR/dZ = a Z (I + a Z^T Z)^{-1}, d x N, a = d / (N epsilon^2).
template <class ZDerived>
[[nodiscard]] Plain<ZDerived> coding_rate_gradient(const Eigen::MatrixBase<ZDerived>& tokens,
                                                   const CodingRateOptions& options = {}) {
  options.check();
  check_not_empty("coding rate: tokens", tokens);
  const auto& z = evaluated(tokens);
  const double a = rate_factor(z.rows(), z.cols(), options.epsilon);
  return static_cast<typename ZDerived::Scalar>(a) * detail::RegularisedGram(z, a).shrink(z);
}

}  // namespace crate
