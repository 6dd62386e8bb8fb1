// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/threads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/coding_rate.hpp"
#include "crate/operators/detail/one_scalar.hpp"
#include "crate/operators/softmax.hpp"
#include "crate/operators/subspace_coding_rate.hpp"
#include "crate/operators/subspaces.hpp"

// The coding rate R^c(Z | Pi) of a token set against a soft partition of its tokens. Letters as in coding_rate.hpp;
// Pi, K x N: pi_kj >= 0 is the share of subset k in token j, n_k = sum_j pi_kj the size of the subset.

namespace crate {

/// Pi by the energy of tokens in subspaces, K x N, of columns that sum to 1:
///   pi_kj = exp(logit_scale ||U_k^T z_j||^2) / sum_m exp(logit_scale ||U_m^T z_j||^2).
/// 1 / logit_scale is the temperature, in the units of a squared token; 8 serves tokens of length 1. Throws ShapeError
/// on an empty Z, and unless U has as many rows as Z.
template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases>
[[nodiscard]] Matrix<typename ZDerived::Scalar> soft_partition(const Eigen::MatrixBase<ZDerived>& tokens,
                                                               const Subspaces<Bases>& subspaces,
                                                               double logit_scale = 1);

/// R^c(Z | Pi) = sum_k n_k / (2 N) log det(I + d / (n_k epsilon^2) Z diag(pi_k) Z^T)
///             = sum_k n_k / N R(Z diag(N pi_k / n_k)^{1/2}).
/// Where the columns of Pi sum to 1, R^c(Z | Pi) <= R(Z), as log det is concave: no token is counted twice, unlike in
/// R^c(Z | U_[K]) of subspaces that share directions. Source: arXiv 2006.08558. Cost: O(K d N min(d, N)),
/// linear in N. Throws as coding_rate, ShapeError unless Pi has a column a token, and OptionError on a negative share.
template <class ZDerived, class PiDerived>
requires detail::OneScalar<ZDerived>
[[nodiscard]] double partition_coding_rate(const Eigen::MatrixBase<ZDerived>& tokens,
                                           const Eigen::MatrixBase<PiDerived>& partition,
                                           const CodingRateOptions& options = {});

/// The same, with the subsets side by side.
template <class ZDerived, class PiDerived>
requires detail::OneScalar<ZDerived>
[[nodiscard]] double partition_coding_rate(const Eigen::MatrixBase<ZDerived>& tokens,
                                           const Eigen::MatrixBase<PiDerived>& partition,
                                           const CodingRateOptions& options, Threads& threads);

/// dR^c/dZ = a sum_k (I + d / (n_k epsilon^2) Z diag(pi_k) Z^T)^{-1} Z diag(pi_k), a = d / (N epsilon^2), for Pi that
/// does not depend on Z. Cost, exactness and errors: as the rate.
template <class ZDerived, class PiDerived>
requires detail::OneScalar<ZDerived>
[[nodiscard]] Plain<ZDerived> partition_coding_rate_gradient(const Eigen::MatrixBase<ZDerived>& tokens,
                                                             const Eigen::MatrixBase<PiDerived>& partition,
                                                             const CodingRateOptions& options = {});

}  // namespace crate

#include "crate/operators/detail/partition_coding_rate.ipp"
