// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <utility>

#include "crate/core/threads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/coding_rate.hpp"
#include "crate/operators/detail/one_scalar.hpp"
#include "crate/operators/subspaces.hpp"

// The coding rate R^c(Z | U_[K]) of a token set against a codebook of subspaces, and its gradients. Letters as in
// coding_rate.hpp.

namespace crate {

/// R^c(Z | U_[K]) = sum_k R(U_k^T Z) = 1/2 sum_k log det(I + a (U_k^T Z)^T (U_k^T Z)), a = p / (N epsilon^2).
/// Source: arXiv 2311.13110, eq. (8). Cost: O(N d K p + N K p^2 + K p^3), linear in N. As exact as coding_rate; of
/// float tokens 1e-4 at worst, as U_k^T Z is rounded. Throws as coding_rate, and ShapeError unless U has as many rows
/// as Z.
template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases>
[[nodiscard]] double subspace_coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                          const CodingRateOptions& options = {});

/// With W_k = U_k^T Z and G_k = a W_k (I + a W_k^T W_k)^{-1}, a = p / (N epsilon^2):
///   dR^c/dZ = sum_k U_k G_k,   dR^c/dU_k = Z G_k^T.
/// Source: arXiv 2311.13110, eq. (9). Cost, exactness and errors: as the rate itself.
template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases>
[[nodiscard]] SubspaceGradient<Plain<ZDerived>, Plain<Bases>> subspace_coding_rate_gradient(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
    const CodingRateOptions& options = {});

}  // namespace crate

#include "crate/operators/detail/subspace_coding_rate.ipp"
