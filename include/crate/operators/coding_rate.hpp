// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/detail/regularised_gram.hpp"

// The coding rate R(Z) of a token set, and its gradient.
//
// Letters, here and in the other operators: Z tokens, d x N, a token a column; U_k basis of subspace k, d x p, of K;
// epsilon the precision to which tokens are coded (root of the mean squared error of a token). Rates are in nats per
// token; divide by ln 2 for bits.

namespace crate {

namespace detail {

/// Throws OptionError unless epsilon is one to which something can be coded.
inline void check_epsilon(double epsilon) {
  check_option(epsilon > 0, "epsilon > 0", epsilon);
  check_option(std::isnormal(epsilon), "a finite epsilon of at least 2.3e-308", epsilon);
}

}  // namespace detail

struct CodingRateOptions {
  double epsilon = 0.5;  ///< epsilon > 0, finite

  void check() const { detail::check_epsilon(epsilon); }
};

/// a = dim / (N epsilon^2), the factor inside the rates: dim is d in R and p in each term of R^c.
[[nodiscard]] inline double rate_factor(Index dim, Index tokens, double epsilon) {
  return detail::RateScale{dim, tokens, epsilon}.factor();
}

namespace detail {

/// The sum of independent estimates.
inline Estimate& operator+=(Estimate& sum, const Estimate& term) {
  sum.value += term.value;
  sum.error += term.error;
  return sum;
}

/// log det(I + a W^T W) / 2 where the Gram matrix in double does not do.
template <class W>
[[nodiscard]] double precise_rate(const W& w, const RateScale& scale) {
  const MatrixOf<double> tokens = w.template cast<double>();
  if (scale.root() * frobenius_norm(tokens) <= 1) {
    const Estimate rate = PreciseGram<double>(tokens, scale).rate();
    if (rate.within(rate_tolerance<double>)) return rate.value;
  }
  const Estimate rate = PreciseGram<DoubleDouble>(tokens.template cast<DoubleDouble>(), scale).rate();
  if (!rate.within(last_tolerance)) throw unreliable("coding rate", tokens, scale.epsilon);
  return rate.value;
}

}  // namespace detail

/// R(Z) = 1/2 log det(I + a Z^T Z), a = d / (N epsilon^2). Source: arXiv 2311.13110, eq. (7).
/// The relative error is below 1e-8, and mostly 1e-13: where tokens are so nearly dependent, or so far above epsilon,
/// that double does not do, the Gram matrix is formed and factorised in twice its digits, some hundred times as slowly.
/// Cost: O(d N min(d, N)). Throws OptionError unless epsilon > 0 and finite, ShapeError on an empty Z, and
/// PrecisionError where not even that would do, or on tokens that are not finite.
template <class ZDerived>
[[nodiscard]] double coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const CodingRateOptions& options = {}) {
  options.check();
  check_not_empty("coding rate: tokens", tokens);
  const auto& z = evaluated(tokens);
  const detail::RateScale scale{z.rows(), z.cols(), options.epsilon};
  const detail::RegularisedGram gram(z, scale.factor());
  constexpr double tolerance = detail::rate_tolerance<double>;
  if (const auto rate = gram.rate(tolerance); rate.within(tolerance)) return rate.value;
  return detail::precise_rate(z, scale);
}

/// dR/dZ = a Z (I + a Z^T Z)^{-1}, d x N, a = d / (N epsilon^2). As exact as the rate, in the Frobenius norm, and
/// rounded to the scalar of Z. Throws as coding_rate.
template <class ZDerived>
[[nodiscard]] Plain<ZDerived> coding_rate_gradient(const Eigen::MatrixBase<ZDerived>& tokens,
                                                   const CodingRateOptions& options = {}) {
  using S = typename ZDerived::Scalar;
  options.check();
  check_not_empty("coding rate: tokens", tokens);
  const auto& z = evaluated(tokens);
  const detail::RateScale scale{z.rows(), z.cols(), options.epsilon};
  const double a = scale.factor();
  const detail::RegularisedGram gram(z, a);
  if (const auto shrinking = gram.shrinking(); shrinking.error <= detail::step_tolerance<S> * shrinking.size) {
    Plain<ZDerived> gradient = z;
    gram.shrink_in_place(gradient, shrinking);
    gradient *= static_cast<S>(a);
    if (gradient.allFinite()) return gradient;
  }
  const detail::MatrixOf<detail::DoubleDouble> exact = z.template cast<double>().template cast<detail::DoubleDouble>();
  const auto [gradient, size] = detail::PreciseGram<detail::DoubleDouble>(exact, scale).gradient();
  const Plain<ZDerived> rounded = gradient.template cast<double>().template cast<S>();
  if (!size.within(detail::last_tolerance) || !rounded.allFinite())
    throw detail::unreliable("coding rate gradient", z, options.epsilon);
  return rounded;
}

}  // namespace crate
