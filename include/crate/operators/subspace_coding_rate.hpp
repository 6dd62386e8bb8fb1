// SPDX-License-Identifier: MIT
#pragma once

#include "crate/operators/coding_rate.hpp"
#include "crate/operators/subspaces.hpp"

// The coding rate R^c(Z | U_[K]) of a token set against a codebook of subspaces, and its gradients. Letters as in
// coding_rate.hpp.

namespace crate {

namespace detail {

template <class Z, class Bases>
void check_tokens_and_subspaces(const Eigen::MatrixBase<Z>& tokens, const Subspaces<Bases>& subspaces) {
  check_not_empty("tokens", tokens);
  check_size("subspaces: dimension of the tokens they are for", subspaces.dim(), tokens.rows());
}

/// What W_k = U_k^T Z, computed in the arithmetic of Real, is wrong by: ||dX||_F for X = a^{1/2} W_k, where `size` is
/// a^{1/2} ||Z||_F.
template <class Real, class Basis>
[[nodiscard]] double projection_error(const Basis& basis, double size) {
  return rounding_of_sum<Real>(basis.rows()) * frobenius_norm(basis) * size;
}

/// For every subspace: calls body(k, W_k, I + a W_k^T W_k, ||dX||_F) with W_k = U_k^T Z and a = p / (N epsilon^2).
template <class Z, class Bases, class Body>
void for_each_projected_gram(const Z& z, const Subspaces<Bases>& subspaces, const RateScale& scale, const Body& body) {
  const double size = scale.root() * frobenius_norm(z);
  for (Index k = 0; k < subspaces.heads(); ++k) {
    const auto projected = (subspaces.basis(k).transpose() * z).eval();
    body(k, projected, RegularisedGram(projected, scale.factor()),
         projection_error<typename Z::Scalar>(subspaces.basis(k), size));
  }
}

/// The same with everything in the arithmetic of Real.
template <class Real, class Z, class Bases, class Body>
void for_each_precise_gram(const Z& z, const Subspaces<Bases>& subspaces, const RateScale& scale, const Body& body) {
  const MatrixOf<Real> tokens = z.template cast<double>().template cast<Real>();
  const double size = scale.root() * frobenius_norm(z);
  for (Index k = 0; k < subspaces.heads(); ++k) {
    const MatrixOf<Real> basis = subspaces.basis(k).template cast<double>().template cast<Real>();
    body(k, PreciseGram<Real>(basis.transpose() * tokens, scale, projection_error<Real>(subspaces.basis(k), size)));
  }
}

/// What may be left of a rate of 0 after cancelling, and of a gradient of 0 relative to the a^{1/2} / 2 that none
/// exceeds.
inline constexpr double negligible = 1e-18;

/// R^c where the Gram matrices in double do not do, the sum of whose rates is about `rough`.
template <class Z, class Bases>
[[nodiscard]] double precise_subspace_rate(const Z& z, const Subspaces<Bases>& subspaces, const RateScale& scale,
                                           double rough) {
  Estimate rate{};
  const auto add = [&](Index, const auto& gram) { rate += gram.rate(); };
  if (rough <= 1) {
    for_each_precise_gram<double>(z, subspaces, scale, add);
    if (rate.within(rate_tolerance<double>)) return rate.value;
    rate = {};
  }
  for_each_precise_gram<DoubleDouble>(z, subspaces, scale, add);
  if (!rate.within(last_tolerance) && !(rate.error <= negligible))
    throw unreliable("coding rate of subspaces", z, scale.epsilon);
  return rate.value;
}

}  // namespace detail

/// R^c(Z | U_[K]) = sum_k R(U_k^T Z) = 1/2 sum_k log det(I + a (U_k^T Z)^T (U_k^T Z)), a = p / (N epsilon^2).
/// Source: arXiv 2311.13110, eq. (8). Cost: O(N d K p + N K p^2 + K p^3), linear in N. As exact as coding_rate; of
/// float tokens 1e-4 at worst, as U_k^T Z is rounded. Throws as coding_rate, and ShapeError unless U has as many rows
/// as Z.
template <class ZDerived, class Bases>
[[nodiscard]] double subspace_coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                          const CodingRateOptions& options = {}) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  const auto& z = evaluated(tokens);
  const detail::RateScale scale{subspaces.head_dim(), z.cols(), options.epsilon};
  constexpr double tolerance = detail::rate_tolerance<typename ZDerived::Scalar>;
  detail::Estimate rate{};
  detail::for_each_projected_gram(z, subspaces, scale, [&](Index, const auto&, const auto& gram, double x_error) {
    rate += gram.rate(tolerance, x_error);
  });
  if (rate.within(tolerance)) return rate.value;
  return detail::precise_subspace_rate(z, subspaces, scale, rate.value);
}

namespace detail {

/// The gradients where the Gram matrices in double do not do.
template <class Z, class Bases>
[[nodiscard]] SubspaceGradient<Plain<Z>, Plain<Bases>> precise_subspace_gradient(const Z& z,
                                                                                 const Subspaces<Bases>& subspaces,
                                                                                 const RateScale& scale) {
  const Index p = subspaces.head_dim();
  const MatrixOf<DoubleDouble> tokens = z.template cast<double>().template cast<DoubleDouble>();
  MatrixOf<double> by_tokens = MatrixOf<double>::Zero(z.rows(), z.cols()), by_bases(z.rows(), subspaces.bases().cols());
  Estimate size{};
  for_each_precise_gram<DoubleDouble>(z, subspaces, scale, [&](Index k, const auto& gram) {
    const auto [g, g_size] = gram.gradient();
    size += g_size;
    by_tokens += subspaces.basis(k).template cast<double>() * g.template cast<double>();
    const MatrixOf<DoubleDouble> by_basis = tokens * g.transpose();
    by_bases.middleCols(k * p, p) = by_basis.template cast<double>();
  });
  SubspaceGradient<Plain<Z>, Plain<Bases>> gradient{by_tokens.template cast<typename Z::Scalar>(),
                                                    by_bases.template cast<typename Bases::Scalar>()};
  if (!(size.within(last_tolerance) || size.error <= negligible * scale.root()) || !gradient.tokens.allFinite() ||
      !gradient.bases.allFinite())
    throw unreliable("gradient of the coding rate of subspaces", z, scale.epsilon);
  return gradient;
}

}  // namespace detail

/// With W_k = U_k^T Z and G_k = a W_k (I + a W_k^T W_k)^{-1}, a = p / (N epsilon^2):
///   dR^c/dZ = sum_k U_k G_k,   dR^c/dU_k = Z G_k^T.
/// Source: arXiv 2311.13110, eq. (9). Cost, exactness and errors: as the rate itself.
template <class ZDerived, class Bases>
[[nodiscard]] SubspaceGradient<Plain<ZDerived>, Plain<Bases>> subspace_coding_rate_gradient(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
    const CodingRateOptions& options = {}) {
  using S = typename ZDerived::Scalar;
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  const auto& z = evaluated(tokens);
  const Index p = subspaces.head_dim();
  const detail::RateScale scale{p, z.cols(), options.epsilon};
  SubspaceGradient<Plain<ZDerived>, Plain<Bases>> gradient{Plain<ZDerived>::Zero(z.rows(), z.cols()),
                                                           Plain<Bases>(z.rows(), subspaces.bases().cols())};
  detail::Estimate size{};
  detail::for_each_projected_gram(
      z, subspaces, scale, [&](Index k, const auto& projected, const auto& gram, double x_error) {
        const auto shrinking = gram.shrinking();
        size += detail::Estimate{shrinking.size, shrinking.error + shrinking.slope * x_error};
        auto g = projected;
        gram.shrink_in_place(g, shrinking);
        g *= static_cast<S>(scale.factor());
        gradient.tokens.noalias() += subspaces.basis(k) * g;
        gradient.bases.middleCols(k * p, p).noalias() = z * g.transpose();
      });
  if (size.within(detail::step_tolerance<S>) && gradient.tokens.allFinite() && gradient.bases.allFinite())
    return gradient;
  return detail::precise_subspace_gradient(z, subspaces, scale);
}

}  // namespace crate
