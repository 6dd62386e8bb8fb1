// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/attention.hpp"
#include "crate/kernels/attention_heads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/detail/one_scalar.hpp"
#include "crate/operators/softmax.hpp"
#include "crate/operators/subspaces.hpp"

// Subspace self-attention: in one subspace (SSA), and in all together (MSSA).
//
// Letters: Z tokens, d x N; U_[K] = [U_1 ... U_K] subspaces, d x (K p); H_k = U_k^T Z, p x N, which serves as queries,
// keys and values alike. A column of scores belongs to a query, its rows to the keys.

namespace crate {

/// Which keys a query sees.
enum class AttentionMask {
  none,   ///< all
  causal  ///< itself and those before it
};

struct AttentionOptions {
  AttentionMask mask = AttentionMask::none;
  Index visible = -1;      ///< only the first so many tokens are keys, the rest is padding; -1 for all
  double logit_scale = 1;  ///< factor of the logits: 1 in theory, 1 / sqrt(p) in the published models
  double rate_factor = 1;  ///< of mssa alone: p / (N epsilon^2) in eq. (12), see rate_factor(); absorbed in practice

  void check(Index tokens) const {
    check_option(std::isfinite(logit_scale), "a finite logit_scale of attention", logit_scale);
    check_option(std::isfinite(rate_factor), "a finite rate_factor of MSSA", rate_factor);
    if (visible != -1 && (visible < 1 || visible > tokens))
      throw OptionError(
          concatenate("attention: expected visible = -1 or between 1 and ", tokens, " tokens, found ", visible));
  }
};

/// For a single token z, SSA is U_k^T z: then sum_k P(k | z) U_k SSA(z | U_k), with the posterior P of the subspaces,
/// is up to scale the denoiser of a mixture of Gaussians, which is how the paper motivates attention (see
/// tests/operators/compression_test.cpp). SSA(Z | U_k) = (U_k^T Z) softmax((U_k^T Z)^T (U_k^T Z)), p x N. Source: arXiv
/// 2311.13110, eq. (11). Throws as subspace_attention, and ShapeError unless U_k has as many rows as Z.
template <class ZDerived, class BasisDerived>
requires detail::OneScalar<ZDerived, BasisDerived>
[[nodiscard]] auto ssa(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<BasisDerived>& basis,
                       const AttentionOptions& options = {});

/// MSSA(Z | U_[K]) = rate_factor [U_1 ... U_K] [SSA_1; ...; SSA_K], d x N: the output is tied to U.
/// Source: arXiv 2311.13110, eq. (12), where rate_factor = p / (N epsilon^2).
/// Throws as subspace_attention, and ShapeError unless U has as many rows as Z.
template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases>
[[nodiscard]] Plain<ZDerived> mssa(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                   const AttentionOptions& options = {});

/// The adjoint of mssa with tied output: what dL/dMSSA(Z) = `cotangent`, d x N, becomes of Z and of U. With H = U^T Z,
/// O = [SSA_1; ...; SSA_K] and f = rate_factor:
///   dL/dO = f U^T cotangent,   dL/dH by subspace_attention_adjoint,
///   dL/dZ = U dL/dH,   dL/dU = Z (dL/dH)^T + f cotangent O^T.
/// Throws as mssa, and ShapeError unless the cotangent is d x N.
template <class ZDerived, class Bases, class CotangentDerived>
requires detail::OneScalar<ZDerived, Bases, CotangentDerived>
[[nodiscard]] SubspaceGradient<Plain<ZDerived>, Plain<Bases>> mssa_adjoint(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
    const Eigen::MatrixBase<CotangentDerived>& cotangent, const AttentionOptions& options = {});

/// MSSA with a free output, as published: rate_factor (W [SSA_1; ...; SSA_K] + b 1^T), W is d' x (K p), b is d' x 1.
/// Source: arXiv 2311.13110, eq. (115).
/// Throws as subspace_attention, and ShapeError on a wrong size.
template <class ZDerived, class Bases, class WDerived, class BDerived>
requires detail::OneScalar<ZDerived, Bases, WDerived, BDerived>
[[nodiscard]] auto mssa(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                        const Eigen::MatrixBase<WDerived>& output_weight,
                        const Eigen::MatrixBase<BDerived>& output_bias, const AttentionOptions& options = {});

/// dL/dZ, dL/dU, dL/dW and dL/db of MSSA with a free output.
template <class TokensPlain, class BasesPlain, class WeightPlain, class BiasPlain>
struct MssaGradient {
  TokensPlain tokens;         ///< d x N
  BasesPlain bases;           ///< d x (K p)
  WeightPlain output_weight;  ///< d' x (K p)
  BiasPlain output_bias;      ///< d'
};

/// The adjoint of mssa with a free output, W, d' x (K p), and b: what dL/dMSSA(Z) = `cotangent`, d' x N, becomes of all
/// four. As that of the tied one, with dL/dO = f W^T cotangent, dL/dW = f cotangent O^T, dL/db = f cotangent 1 and
/// dL/dU = Z (dL/dH)^T. Throws as mssa_adjoint.
template <class ZDerived, class Bases, class WDerived, class CotangentDerived>
requires detail::OneScalar<ZDerived, Bases, WDerived, CotangentDerived>
[[nodiscard]] auto mssa_adjoint(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                const Eigen::MatrixBase<WDerived>& output_weight,
                                const Eigen::MatrixBase<CotangentDerived>& cotangent,
                                const AttentionOptions& options = {});

/// [SSA_1; ...; SSA_K] of projected tokens H = [H_1; ...; H_K], both (K p) x N:
///   SSA_k = H_k softmax(logit_scale H_k^T H_k), the softmax taken of each column over the keys that its query sees.
/// Throws OptionError on an option out of range, ShapeError unless heads divides the rows of H.
template <class HDerived>
requires detail::OneScalar<HDerived>
[[nodiscard]] Plain<HDerived> subspace_attention(const Eigen::MatrixBase<HDerived>& projected, Index heads,
                                                 const AttentionOptions& options = {});

/// softmax(logit_scale H^T H) of one head's projected tokens H, p x N: how much each query, a column, attends to each
/// key, a row; 0 where it does not see one. Throws OptionError as subspace_attention.
template <class HDerived>
requires detail::OneScalar<HDerived>
[[nodiscard]] Matrix<typename HDerived::Scalar> attention_probabilities(const Eigen::MatrixBase<HDerived>& head,
                                                                        const AttentionOptions& options = {});

/// The adjoint of subspace_attention: dL/dH, (K p) x N, of the cotangent of its result. With
/// P_k = softmax(logit_scale H_k^T H_k), C_k the head's cotangent, dP = H_k^T C_k and
/// dS = P_k .* (dP - 1 colsum(P_k .* dP)):
///   dL/dH_k = C_k P_k^T + logit_scale H_k (dS + dS^T).
/// Throws as subspace_attention, and ShapeError unless the cotangent is (K p) x N.
template <class HDerived, class CotangentDerived>
requires detail::OneScalar<HDerived, CotangentDerived>
[[nodiscard]] Plain<HDerived> subspace_attention_adjoint(const Eigen::MatrixBase<HDerived>& projected, Index heads,
                                                         const Eigen::MatrixBase<CotangentDerived>& cotangent,
                                                         const AttentionOptions& options = {});

}  // namespace crate

#include "crate/operators/detail/subspace_attention.ipp"
