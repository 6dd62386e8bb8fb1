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

/// For every subspace: calls body(k, W_k, I + a W_k^T W_k) with W_k = U_k^T Z and a = p / (N epsilon^2).
template <class Z, class Bases, class Body>
void for_each_projected_gram(const Z& z, const Subspaces<Bases>& subspaces, double a, const Body& body) {
  for (Index k = 0; k < subspaces.heads(); ++k) {
    const auto projected = (subspaces.basis(k).transpose() * z).eval();
    body(k, projected, RegularisedGram(projected, a));
  }
}

}  // namespace detail

/// R^c(Z | U_[K]) = sum_k R(U_k^T Z) = 1/2 sum_k log det(I + a (U_k^T Z)^T (U_k^T Z)), a = p / (N epsilon^2).
/// Source: arXiv 2311.13110, eq. (8). Cost: O(N d K p + N K p^2 + K p^3), linear in N.
/// Throws OptionError on epsilon <= 0, ShapeError unless U has as many rows as Z.
template <class ZDerived, class Bases>
[[nodiscard]] double subspace_coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                          const CodingRateOptions& options = {}) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  const double a = rate_factor(subspaces.head_dim(), tokens.cols(), options.epsilon);
  double rate = 0;
  detail::for_each_projected_gram(evaluated(tokens), subspaces, a,
                                  [&](Index, const auto&, const auto& gram) { rate += 0.5 * gram.log_determinant(); });
  return rate;
}

/// With W_k = U_k^T Z and G_k = a W_k (I + a W_k^T W_k)^{-1}, a = p / (N epsilon^2):
///   dR^c/dZ = sum_k U_k G_k,   dR^c/dU_k = Z G_k^T.
/// Source: arXiv 2311.13110, eq. (9). Cost: as the rate itself.
template <class ZDerived, class Bases>
[[nodiscard]] SubspaceGradient<Plain<ZDerived>, Plain<Bases>> subspace_coding_rate_gradient(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
    const CodingRateOptions& options = {}) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  const auto& z = evaluated(tokens);
  const double a = rate_factor(subspaces.head_dim(), z.cols(), options.epsilon);
  const Index p = subspaces.head_dim();
  SubspaceGradient<Plain<ZDerived>, Plain<Bases>> gradient{Plain<ZDerived>::Zero(z.rows(), z.cols()),
                                                           Plain<Bases>(z.rows(), subspaces.bases().cols())};
  detail::for_each_projected_gram(z, subspaces, a, [&](Index k, const auto& projected, const auto& gram) {
    const auto g = (static_cast<typename ZDerived::Scalar>(a) * gram.shrink(projected)).eval();
    gradient.tokens.noalias() += subspaces.basis(k) * g;
    gradient.bases.middleCols(k * p, p).noalias() = z * g.transpose();
  });
  return gradient;
}

}  // namespace crate
