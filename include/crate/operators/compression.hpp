// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/attention.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/coding_rate.hpp"
#include "crate/operators/detail/one_scalar.hpp"
#include "crate/operators/partition_coding_rate.hpp"
#include "crate/operators/subspace_attention.hpp"
#include "crate/operators/subspace_coding_rate.hpp"

// The compression step Z - kappa grad R^c(Z | U_[K]), exact or approximated, and the step on the whole rate reduction,
// Z + kappa (grad R - grad R^c). Letters as in coding_rate.hpp; W_k = U_k^T Z, p x N, and a = p / (N epsilon^2).

namespace crate {

/// Which gradient a compression step follows, and how faithfully.
enum class CompressionStep {
  exact,           ///< the gradient of R^c(Z | U_[K]) itself
  first_order,     ///< its Neumann series up to the first order, good only while a ||W_k||^2 is well below 1
  softmax,         ///< the series with its correlations replaced by their softmax: what leads to MSSA
  rate_reduction,  ///< that of R(Z) - R^c(Z | U_[K]), which keeps tokens from shrinking together
  soft_partition   ///< that of R(Z) - R^c(Z | Pi): every token is compressed in its own subspaces alone
};

/// Whether the step follows R beside R^c.
[[nodiscard]] constexpr bool is_on_rate_reduction(CompressionStep step) {
  return step == CompressionStep::rate_reduction || step == CompressionStep::soft_partition;
}

struct CompressionOptions {
  double kappa = 0.1;    ///< step size; a negative one expands, as the decoder does
  double epsilon = 0.5;  ///< epsilon > 0, finite, and so its square; see CodingRateOptions
  CompressionStep step = CompressionStep::exact;
  double logit_scale = 1;  ///< of the softmax step: 1 in theory; of the soft partition: 8 serves tokens of length 1
  double mssa_factor = 1;  ///< of the softmax step: eq. (12) has p / (N epsilon^2) here, a second time

  void check() const {
    detail::check_epsilon("compression", epsilon);
    check_option(std::isfinite(kappa), "compression: a finite kappa", kappa);
    check_option(std::isfinite(logit_scale), "compression: a finite logit_scale", logit_scale);
    check_option(std::isfinite(mssa_factor), "compression: a finite mssa_factor", mssa_factor);
  }
};

/// One step that compresses tokens against the subspaces, d x N. With a = p / (N epsilon^2):
///   exact        Z - kappa grad R^c = Z - kappa a sum_k U_k (I + a W_k W_k^T)^{-1} W_k
///   first_order  Z - kappa a sum_k U_k (W_k - a W_k W_k^T W_k)
///   softmax      (1 - kappa a) Z + kappa a mssa_factor sum_k U_k SSA(Z | U_k)
/// and, with b = d / (N epsilon^2), Pi = soft_partition(Z, U, logit_scale) and n_k = sum_j pi_kj:
///   rate_reduction  Z + kappa (b (I + b Z Z^T)^{-1} Z - a sum_k U_k (I + a W_k W_k^T)^{-1} W_k)
///   soft_partition  Z + kappa b ((I + b Z Z^T)^{-1} Z
///                                - sum_k (I + d / (n_k epsilon^2) Z diag(pi_k) Z^T)^{-1} Z diag(pi_k))
/// The gradient is taken with the soft partition of Z held fixed, as ReduNet does, which is what gives the step a law.
/// For 0 < kappa <= largest_kappa(U, N, epsilon) = 2 / (a ||U||_2^2) an exact step never raises R^c, and for
/// 0 < kappa <= largest_kappa(U, N, options) one on the rate reduction never lowers R - R^c, with Pi held fixed, but
/// for the rounding of their results; first_order and softmax come without such a law. Where the bound on the rounding
/// error of an inverse is too large, it is computed in double-double arithmetic, as a rate is; see coding_rate.
/// Source: arXiv 2311.13110, eqs. (9) and (10); of the steps on the rate reduction arXiv 2105.10446. Cost:
/// O(N d K p + N K p^2 + K p^3), linear in N, but for softmax, which adds N^2 K p. rate_reduction adds
/// O(d N min(d, N)), and soft_partition takes K + 1 times as much, and room for min(K + 1, threads) d N numbers. Throws
/// OptionError on an option out of range, ShapeError unless U has as many rows as Z, and PrecisionError where not even
/// double-double arithmetic would do.
template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases>
[[nodiscard]] Plain<ZDerived> compress(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                       const CompressionOptions& options = {});

/// The adjoint of compress: what dL/dcompress(Z) = `cotangent`, d x N, becomes of Z and of U. With W_k = U_k^T Z, the
/// step Z <- skip Z + scale sum_k U_k T(W_k) and C_k = scale U_k^T cotangent:
///   dL/dZ = skip cotangent + sum_k U_k dL/dW_k,   dL/dU_k = Z (dL/dW_k)^T + scale cotangent T(W_k)^T, and dL/dW_k is
///   exact        G - a (G F^T W_k + F C_k^T F),  G = (I + a W_k W_k^T)^{-1} C_k,
///                F = T(W_k) = (I + a W_k W_k^T)^{-1} W_k
///   first_order  C_k - a (C_k W_k^T W_k + W_k C_k^T W_k + W_k W_k^T C_k)
///   softmax      that of subspace_attention
/// Steps on the rate reduction have the exact one's adjoint for each of their inverses. That of the soft partition goes
/// through Pi too: with X_k = Z diag(N pi_k / n_k)^{1/2}, C_k what becomes of F_k = T(X_k), x_j and y_j the products of
/// the columns j of X_k and dL/dX_k, and of C_k and F_k,
///   pi_kj dL/dpi_kj = (x_j + y_j) / 2 + pi_kj / (2 n_k) sum_i (y_i - x_i).
/// dL/dW_k is as exact as compress for W_k as it was rounded, relative to C_k; the products with Z and the cotangent
/// round as products do. Throws as compress, and ShapeError unless the cotangent is d x N.
template <class ZDerived, class Bases, class CotangentDerived>
requires detail::OneScalar<ZDerived, Bases, CotangentDerived>
[[nodiscard]] SubspaceGradient<Plain<ZDerived>, Plain<Bases>> compress_adjoint(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
    const Eigen::MatrixBase<CotangentDerived>& cotangent, const CompressionOptions& options = {});

/// The largest step size with which an exact step never raises R^c(Z | U_[K]) of N tokens: 2 / (a ||U||_2^2),
/// a = p / (N epsilon^2). R^c is a function of U^T Z with a gradient by it of Lipschitz constant a, so that of R^c by Z
/// has L = a ||U||_2^2; a step of kappa against the gradient g lowers R^c by at least kappa (1 - kappa L / 2) ||g||^2
/// (Nesterov, "Introductory lectures on convex optimization", 2004, eq. (1.2.12)). For tokens short beside epsilon no
/// larger bound holds. The columns of U need not be orthonormal. Infinite for U = 0. Throws OptionError on epsilon or a
/// number of tokens out of range, PrecisionError on U that is not finite.
template <class Bases>
[[nodiscard]] double largest_kappa(const Subspaces<Bases>& subspaces, Index tokens, double epsilon);

/// The same of the step that the options name; their kappa does not count. With b = d / (N epsilon^2):
///   rate_reduction  2 / (a ||U||_2^2 + b / 8)   as no curvature of R is below -b / 8: that of log(1 + b s^2) / 2 is
///                                               b (1 - b s^2) / (1 + b s^2)^2, least where b s^2 = 3
///   soft_partition  2 / (b + b / 8)             as no curvature of R^c(Z | Pi) is above b
/// R - R^c then rises by at least kappa (1 - kappa / largest_kappa) ||g||^2. For first_order and softmax, which come
/// without a law, it is that of the exact step: a unit in which to state kappa.
template <class Bases>
[[nodiscard]] double largest_kappa(const Subspaces<Bases>& subspaces, Index tokens, const CompressionOptions& options);

}  // namespace crate

#include "crate/operators/detail/compression.ipp"
#include "crate/operators/detail/rate_reduction_step.ipp"
