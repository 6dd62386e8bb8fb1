// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/detail/one_scalar.hpp"
#include "crate/operators/detail/regularised_gram.hpp"

// The coding rate R(Z) of a token set, and its gradient.
//
// Letters, here and in the other operators: Z tokens, d x N, a token a column; U_k basis of subspace k, d x p, of K;
// epsilon the precision to which tokens are coded (root of the mean squared error of a token). Rates are in nats per
// token; divide by ln 2 for bits.

namespace crate {

struct CodingRateOptions {
  double epsilon = 0.5;  ///< the paper's epsilon > 0, finite; "eps" in the published code is its square

  void check() const { detail::check_epsilon("coding rate", epsilon); }
};

/// a = dim / (N epsilon^2), the factor inside the rates: dim is d in R and p in each term of R^c.
/// Throws OptionError unless dim, N >= 1 and epsilon > 0, finite.
[[nodiscard]] inline double rate_factor(Index dim, Index tokens, double epsilon) {
  detail::check_epsilon("rate factor", epsilon);
  check_option(dim >= 1 && tokens >= 1, "rate factor: at least 1 x 1 tokens", concatenate(dim, " x ", tokens));
  return detail::RateScale{dim, tokens, epsilon}.factor();
}

/// R(Z) = 1/2 log det(I + a Z^T Z), a = d / (N epsilon^2). Source: arXiv 2311.13110, eq. (7).
/// Computed in double; if the bound on the relative rounding error exceeds 1e-11, computed again in double-double
/// arithmetic, about a hundred times more slowly, within 1e-8.
/// Cost: O(d N min(d, N)). Throws OptionError unless epsilon > 0 and finite, ShapeError on an empty Z, and
/// PrecisionError where not even double-double arithmetic would do, or on tokens that are not finite.
template <class ZDerived>
requires detail::OneScalar<ZDerived>
[[nodiscard]] double coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const CodingRateOptions& options = {});

/// dR/dZ = a Z (I + a Z^T Z)^{-1}, d x N, a = d / (N epsilon^2). As exact as the rate, in the Frobenius norm, and
/// rounded to the scalar of Z. Throws as coding_rate.
template <class ZDerived>
requires detail::OneScalar<ZDerived>
[[nodiscard]] Plain<ZDerived> coding_rate_gradient(const Eigen::MatrixBase<ZDerived>& tokens,
                                                   const CodingRateOptions& options = {});

}  // namespace crate

#include "crate/operators/detail/coding_rate.ipp"
