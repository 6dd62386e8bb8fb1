// SPDX-License-Identifier: MIT
// The bodies of subspace_coding_rate.hpp.

namespace crate {

namespace detail {

template <class Z, class Bases>
void check_tokens_and_subspaces(const Eigen::MatrixBase<Z>& tokens, const Subspaces<Bases>& subspaces) {
  subspaces.check();
  check_not_empty("tokens", tokens);
  if (subspaces.dim() != tokens.rows())
    throw ShapeError(concatenate("subspaces: expected U with ", tokens.rows(), " rows, as the tokens have, found ",
                                 subspaces.dim()));
}

/// What W_k = U_k^T Z, computed in the arithmetic of Real, is wrong by: ||dX||_F for X = a^{1/2} W_k, where `size` is
/// a^{1/2} ||Z||_F.
template <class Real, class Basis>
[[nodiscard]] double projection_error(const Basis& basis, double size) {
  return rounding_of_sum<Real>(basis.rows()) * frobenius_norm(basis) * size;
}

/// What U_k^T Z is kept in: of a bounded size where those of U and Z are.
template <class Bases, class Z>
using Projection =
    Plain<decltype(std::declval<const Bases&>().middleCols(0, 1).transpose() * std::declval<const Z&>())>;

/// For every subspace: calls body(k, W_k, I + a W_k^T W_k, ||dX||_F) with W_k = U_k^T Z and a = p / (N epsilon^2).
template <class Z, class Bases, class Body>
void for_each_projected_gram(const Z& z, const Bases& bases, Index heads, const RateScale& scale, const Body& body) {
  const double size = scale.root() * frobenius_norm(z);
  const Index p = bases.cols() / heads;
  Threads alone;
  Projection<Bases, Z> projected(p, z.cols());
  for (Index k = 0; k < heads; ++k) {
    const auto basis = bases.middleCols(k * p, p);
    multiply(basis.transpose(), z, projected, alone);
    body(k, projected, regularised_gram(projected, scale.factor()), projection_error<typename Z::Scalar>(basis, size));
  }
}

/// The same with everything in the arithmetic of Real.
template <class Real, class Body>
void for_each_precise_gram(const Matrix<double>& z, const Matrix<double>& bases, Index heads, const RateScale& scale,
                           const Body& body) {
  const PlainMatrix<Real> tokens(z);
  const double size = scale.root() * frobenius_norm(z);
  const Index p = bases.cols() / heads;
  for (Index k = 0; k < heads; ++k) {
    const Matrix<double> basis = bases.middleCols(k * p, p);
    body(k, PreciseGram<Real>(product(PlainMatrix<Real>(basis).transposed(), tokens), scale,
                              projection_error<Real>(basis, size)));
  }
}

/// What may be left of a rate of 0 after cancelling, and of a gradient of 0 relative to the a^{1/2} / 2 that none
/// exceeds.
inline constexpr double negligible = 1e-18;

/// R^c where the Gram matrices in double do not do.
template <class Wide = DoubleDouble>
[[nodiscard]] double precise_subspace_rate(const Matrix<double>& z, const Matrix<double>& bases, Index heads,
                                           const RateScale& scale) {
  Estimate rate{};
  const auto add = [&](Index, const auto& gram) { rate += gram.rate(); };
  for_each_precise_gram<Wide>(z, bases, heads, scale, add);
  if (!rate.within(last_tolerance) && !(rate.error <= negligible))
    throw unreliable("coding rate of subspaces", z, scale.epsilon);
  return rate.value;
}

/// subspace_coding_rate of tokens and bases as `evaluated` gives them.
template <class Z, class Bases>
[[nodiscard]] double subspace_coding_rate_of(const Z& z, const Bases& bases, Index heads, const RateScale& scale) {
  constexpr double tolerance = rate_tolerance<typename Z::Scalar>;
  Estimate rate{};
  for_each_projected_gram(z, bases, heads, scale, [&](Index, const auto&, const auto& gram, double x_error) {
    rate += gram.rate(tolerance, x_error);
  });
  if (rate.within(tolerance)) return rate.value;
  if (frobenius_norm(z) == 0) return 0;
  const Matrix<double> tokens = z.template cast<double>(), wide_bases = bases.template cast<double>();
  if constexpr (std::same_as<typename Z::Scalar, double>)
    return precise_subspace_rate(tokens, wide_bases, heads, scale);
  else
    return subspace_coding_rate_of(evaluated(tokens), evaluated(wide_bases), heads, scale);
}

/// The gradients where the Gram matrices in double do not do.
template <class Wide = DoubleDouble>
[[nodiscard]] SubspaceGradient<Matrix<double>, Matrix<double>> precise_subspace_gradient(const Matrix<double>& z,
                                                                                         const Matrix<double>& bases,
                                                                                         Index heads,
                                                                                         const RateScale& scale) {
  const Index p = bases.cols() / heads;
  const PlainMatrix<Wide> tokens(z);
  SubspaceGradient<Matrix<double>, Matrix<double>> gradient{Matrix<double>::Zero(z.rows(), z.cols()),
                                                            Matrix<double>(z.rows(), bases.cols())};
  Estimate size{};
  Threads alone;
  for_each_precise_gram<Wide>(z, bases, heads, scale, [&](Index k, const auto& gram) {
    const auto [g, g_size] = gram.gradient();
    size += g_size;
    multiply_add(1, bases.middleCols(k * p, p), g.rounded(), gradient.tokens, alone);
    gradient.bases.middleCols(k * p, p) = product(tokens, g.transposed()).rounded();
  });
  if (!(size.within(last_tolerance) || size.error <= negligible * scale.root()))
    throw unreliable("gradient of the coding rate of subspaces", z, scale.epsilon);
  return gradient;
}

/// subspace_coding_rate_gradient of tokens and bases as `evaluated` gives them, and whether it is as exact as is asked.
template <class Z, class Bases>
[[nodiscard]] std::pair<SubspaceGradient<Plain<Z>, Plain<Bases>>, bool> plain_subspace_gradient(
    const Z& z, const Bases& bases, Index heads, const RateScale& scale) {
  using S = typename Z::Scalar;
  const Index p = bases.cols() / heads;
  SubspaceGradient<Plain<Z>, Plain<Bases>> gradient{Plain<Z>::Zero(z.rows(), z.cols()),
                                                    Plain<Bases>(z.rows(), bases.cols())};
  Estimate size{};
  Threads alone;
  for_each_projected_gram(z, bases, heads, scale, [&](Index k, auto& projected, const auto& gram, double x_error) {
    const auto by = gram.template shrinking<S>();
    size += Estimate{by.size, by.error + by.slope * x_error};
    shrink_in_place(gram, by, projected);
    projected *= static_cast<S>(scale.factor());
    multiply_add(1, bases.middleCols(k * p, p), projected, gradient.tokens, alone);
    auto by_basis = gradient.bases.middleCols(k * p, p);
    multiply(z, projected.transpose(), by_basis, alone);
  });
  const bool is_exact = size.within(step_tolerance<S>) && gradient.tokens.allFinite() && gradient.bases.allFinite();
  return {std::move(gradient), is_exact};
}

/// subspace_coding_rate_gradient of tokens and bases as `evaluated` gives them: in their scalar, in double or in twice
/// the digits, whichever first is exact enough.
template <class Z, class Bases>
[[nodiscard]] SubspaceGradient<Plain<Z>, Plain<Bases>> subspace_coding_rate_gradient_of(const Z& z, const Bases& bases,
                                                                                        Index heads,
                                                                                        const RateScale& scale) {
  using S = typename Z::Scalar;
  auto [gradient, is_exact] = plain_subspace_gradient(z, bases, heads, scale);
  if (is_exact) return std::move(gradient);
  const Matrix<double> tokens = z.template cast<double>(), wide_bases = bases.template cast<double>();
  if constexpr (std::same_as<S, float>) {
    const auto in_double = subspace_coding_rate_gradient_of(evaluated(tokens), evaluated(wide_bases), heads, scale);
    gradient = {in_double.tokens.template cast<S>(), in_double.bases.template cast<S>()};
  } else {
    auto precise = precise_subspace_gradient(tokens, wide_bases, heads, scale);
    gradient = {std::move(precise.tokens), std::move(precise.bases)};
  }
  if (!gradient.tokens.allFinite() || !gradient.bases.allFinite())
    throw unreliable("gradient of the coding rate of subspaces", tokens, scale.epsilon);
  return std::move(gradient);
}

}  // namespace detail

template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases>
double subspace_coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                            const CodingRateOptions& options) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  return detail::subspace_coding_rate_of(evaluated(tokens), evaluated(subspaces.bases()), subspaces.heads(),
                                         {subspaces.head_dim(), tokens.cols(), options.epsilon});
}

template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases> SubspaceGradient<Plain<ZDerived>, Plain<Bases>>
subspace_coding_rate_gradient(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                              const CodingRateOptions& options) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  auto gradient =
      detail::subspace_coding_rate_gradient_of(evaluated(tokens), evaluated(subspaces.bases()), subspaces.heads(),
                                               {subspaces.head_dim(), tokens.cols(), options.epsilon});
  return {std::move(gradient.tokens), std::move(gradient.bases)};
}

}  // namespace crate
