// SPDX-License-Identifier: MIT
// The bodies of coding_rate.hpp.

namespace crate {

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

/// The rate of tokens that are no more exact than their scalar, such as projected ones: their Gram matrix is summed in
/// it where the bound of the error is within its rate_tolerance, else in double. For tokens as `evaluated` gives them.
template <class Z>
[[nodiscard]] double rate_in_scalar(const Z& z, const RateScale& scale) {
  using S = typename Z::Scalar;
  constexpr double tolerance = rate_tolerance<S>;
  const auto rate = regularised_gram<S>(z, scale.factor()).rate(tolerance);
  return rate.within(tolerance) ? rate.value : coding_rate_of(z, scale);
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

template <class ZDerived>
requires detail::OneScalar<ZDerived>
double coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const CodingRateOptions& options) {
  options.check();
  check_not_empty("coding rate: tokens", tokens);
  return detail::coding_rate_of(evaluated(tokens), {tokens.rows(), tokens.cols(), options.epsilon});
}

template <class ZDerived>
requires detail::OneScalar<ZDerived> Plain<ZDerived> coding_rate_gradient(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                          const CodingRateOptions& options) {
  options.check();
  check_not_empty("coding rate: tokens", tokens);
  return detail::coding_rate_gradient_of(evaluated(tokens), {tokens.rows(), tokens.cols(), options.epsilon});
}

}  // namespace crate
