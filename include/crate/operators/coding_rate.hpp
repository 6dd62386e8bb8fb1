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

/// log det(I + a W^T W) / 2 where the Gram matrix in double does not do, in the arithmetic of Wide. A template, here
/// and below, so that only those pay for compiling it who use it.
template <class Wide = DoubleDouble>
[[nodiscard]] double precise_rate(const Matrix<double>& w, const RateScale& scale) {
  const Estimate rate = PreciseGram<Wide>(PlainMatrix<Wide>(w), scale).rate();
  if (!rate.within(last_tolerance)) throw unreliable("coding rate", w, scale.epsilon);
  return rate.value;
}

/// The gradient a W (I + a W^T W)^{-1} where the Gram matrix in double does not do, rounded to S.
template <crate::Scalar S>
[[nodiscard]] Matrix<S> precise_rate_gradient(const Matrix<double>& w, const RateScale& scale) {
  const auto [gradient, size] = PreciseGram<DoubleDouble>(PlainMatrix<DoubleDouble>(w), scale).gradient();
  Matrix<S> rounded = gradient.rounded().template cast<S>();
  if (!size.within(last_tolerance) || !rounded.allFinite()) throw unreliable("coding rate gradient", w, scale.epsilon);
  return rounded;
}

/// coding_rate of tokens as `evaluated` gives them.
template <class Z>
[[nodiscard]] double coding_rate_of(const Z& z, const RateScale& scale) {
  const auto gram = regularised_gram(z, scale.factor());
  constexpr double tolerance = rate_tolerance<double>;
  if (const auto rate = gram.rate(tolerance); rate.within(tolerance)) return rate.value;
  return frobenius_norm(z) == 0 ? 0 : precise_rate(z.template cast<double>(), scale);
}

/// coding_rate_gradient of tokens as `evaluated` gives them.
template <class Z>
[[nodiscard]] Plain<Z> coding_rate_gradient_of(const Z& z, const RateScale& scale) {
  using S = typename Z::Scalar;
  const double a = scale.factor();
  const auto gram = regularised_gram(z, a);
  if (const auto by = gram.template shrinking<S>(); by.error <= step_tolerance<S> * by.size) {
    Plain<Z> gradient = z;
    shrink_in_place(gram, by, gradient);
    gradient *= static_cast<S>(a);
    if (gradient.allFinite()) return gradient;
  }
  return precise_rate_gradient<S>(z.template cast<double>(), scale);
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
  return detail::coding_rate_of(evaluated(tokens), {tokens.rows(), tokens.cols(), options.epsilon});
}

/// dR/dZ = a Z (I + a Z^T Z)^{-1}, d x N, a = d / (N epsilon^2). As exact as the rate, in the Frobenius norm, and
/// rounded to the scalar of Z. Throws as coding_rate.
template <class ZDerived>
[[nodiscard]] Plain<ZDerived> coding_rate_gradient(const Eigen::MatrixBase<ZDerived>& tokens,
                                                   const CodingRateOptions& options = {}) {
  options.check();
  check_not_empty("coding rate: tokens", tokens);
  return detail::coding_rate_gradient_of(evaluated(tokens), {tokens.rows(), tokens.cols(), options.epsilon});
}

}  // namespace crate
