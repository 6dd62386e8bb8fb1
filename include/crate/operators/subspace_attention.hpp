// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/kernels/attention_heads.hpp"
#include "crate/kernels/product.hpp"
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
  double rate_factor = 1;  ///< factor of MSSA: p / (N epsilon^2) in eq. (12), see rate_factor(); absorbed in practice

  void check(Index tokens) const {
    if (visible != -1 && (visible < 1 || visible > tokens))
      throw OptionError(
          concatenate("attention: expected visible = -1 or between 1 and ", tokens, " tokens, found ", visible));
  }
};

namespace detail {

// The queries of a block where the number of tokens is known at compile time, or bounded: not more than lets the scores
// lie on the stack.
template <class S, int tokens>
inline constexpr Index bounded_query_block = tokens == Eigen::Dynamic || EIGEN_STACK_ALLOCATION_LIMIT == 0
                                                 ? query_block
                                                 : std::clamp<Index>(EIGEN_STACK_ALLOCATION_LIMIT /
                                                                         (Index{sizeof(S)} * std::max(tokens, 1)),
                                                                     1, query_block);

/// The heads of H with these options, as kernels see them; the sets say which tokens are visible.
template <class T>
[[nodiscard]] auto attention_heads(Columns<T> h, Index heads, Index head_dim, const TokenLayout& layout,
                                   const AttentionOptions& options) {
  using S = std::remove_const_t<T>;
  const Columns<const S> all{h.first, h.stride};
  return AttentionHeads<S>{.queries = all,
                           .keys = all,
                           .values = all,
                           .count = heads,
                           .dim = head_dim,
                           .layout = layout,
                           .causal = options.mask == AttentionMask::causal,
                           .scale = static_cast<S>(options.logit_scale)};
}

/// Those of the projected tokens H, (K p) x (total tokens).
template <class H>
[[nodiscard]] auto attention_heads(const H& projected, Index heads, const TokenLayout& layout,
                                   const AttentionOptions& options) {
  return attention_heads(columns_of(projected), heads, projected.rows() / heads, layout, options);
}

/// How many keys the queries first, ..., first + n - 1 of a set of `tokens` see, all together.
inline Index seen_keys(const AttentionOptions& options, Index tokens, Index first, Index n) {
  const Index visible = options.visible == -1 ? tokens : options.visible;
  return seen_keys(options.mask == AttentionMask::causal, visible, first, n);
}

/// scores = softmax(logit_scale H^T Q), keys x n, for the n queries Q = H[:, first ... first + n - 1] of H, p x N, over
/// the keys that they see; 0 for those that a single query does not.
template <class H, class Scores>
void attention_probabilities(const H& h, Index first, const AttentionOptions& options, Scores&& scores) {
  const Index keys = scores.rows(), n = scores.cols();
  scores.noalias() = h.leftCols(keys).transpose() * h.middleCols(first, n);
  scores *= static_cast<typename H::Scalar>(options.logit_scale);
  for (Index j = 0; j < n; ++j) {
    const Index seen = options.mask == AttentionMask::causal ? std::min(keys, first + j + 1) : keys;
    softmax_columns_in_place(scores.col(j).head(seen));
    scores.col(j).tail(keys - seen).setZero();
  }
}

/// out = H softmax(logit_scale H^T Q) for the n queries Q = H[:, first ... first + n - 1], all p x n, over the visible
/// keys. `scores` is room for (number of keys) x n.
template <class H, class Scores, class Out>
void attend(const H& h, Index first, Index n, const AttentionOptions& options, Scores&& scores, Out&& out) {
  const Index keys = seen_keys(options, h.cols(), first, n);
  auto used = scores.topLeftCorner(keys, n);
  attention_probabilities(h, first, options, used);
  out.noalias() = h.leftCols(keys) * used;
}

/// The adjoint of `attend` for the same queries, with the probabilities P, keys x n, that it found. With c the
/// cotangent, p x n:
///   dL/dH_keys += c P^T + logit_scale Q dS^T,   dL/dQ += logit_scale H_keys dS,   dS = P .* (dP - 1 colsum(P .* dP)),
/// where dP, keys x n, holds H_keys^T c on entry.
template <class H, class P, class Cotangent, class DP, class Out>
void attend_adjoint(const H& h, Index first, const AttentionOptions& options, const P& probabilities,
                    const Cotangent& cotangent, DP&& dp, Out&& h_cotangent) {
  const Index keys = dp.rows(), n = dp.cols();
  h_cotangent.leftCols(keys).noalias() += cotangent * probabilities.transpose();
  softmax_columns_adjoint_in_place(probabilities, dp);
  dp *= static_cast<typename H::Scalar>(options.logit_scale);
  h_cotangent.leftCols(keys).noalias() += h.middleCols(first, n) * dp.transpose();
  h_cotangent.middleCols(first, n).noalias() += h.leftCols(keys) * dp;
}

/// Throws ShapeError unless heads divides the rows of projected tokens.
template <class HDerived>
void check_heads(const Eigen::MatrixBase<HDerived>& projected, Index heads) {
  check_not_empty("subspace attention: projected tokens", projected);
  if (heads < 1 || projected.rows() % heads != 0)
    throw ShapeError(concatenate("subspace attention: expected a number of heads that divides ", projected.rows(),
                                 " rows, found ", heads));
}

}  // namespace detail

/// [SSA_1; ...; SSA_K] of projected tokens H = [H_1; ...; H_K], both (K p) x N:
///   SSA_k = H_k softmax(logit_scale H_k^T H_k), the softmax taken of each column over the keys that its query sees.
/// Throws OptionError on a number of visible tokens out of range, ShapeError unless heads divides the rows of H.
template <class HDerived>
[[nodiscard]] Plain<HDerived> subspace_attention(const Eigen::MatrixBase<HDerived>& projected, Index heads,
                                                 const AttentionOptions& options = {}) {
  using S = typename HDerived::Scalar;
  constexpr int bound = HDerived::MaxColsAtCompileTime;
  constexpr Index block = detail::bounded_query_block<S, bound>;
  using Scores = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, 0, bound,
                               bound == Eigen::Dynamic ? Eigen::Dynamic : std::min<int>(block, bound)>;
  detail::check_heads(projected, heads);
  options.check(projected.cols());
  const auto& h = evaluated(projected);
  const Index p = h.rows() / heads, tokens = h.cols();
  Plain<HDerived> result(h.rows(), tokens);
  Scores scores(tokens, std::min(block, tokens));
  for (Index k = 0; k < heads; ++k)
    for (Index first = 0; first < tokens; first += block) {
      const Index n = std::min(block, tokens - first);
      detail::attend(h.middleRows(k * p, p), first, n, options, scores, result.block(k * p, first, p, n));
    }
  return result;
}

/// The adjoint of subspace_attention: dL/dH, (K p) x N, of the cotangent of its result. With
/// P_k = softmax(logit_scale H_k^T H_k), C_k the head's cotangent, dP = H_k^T C_k and
/// dS = P_k .* (dP - 1 colsum(P_k .* dP)):
///   dL/dH_k = C_k P_k^T + logit_scale H_k (dS + dS^T).
/// Throws as subspace_attention, and ShapeError unless the cotangent is (K p) x N.
template <class HDerived, class CotangentDerived>
[[nodiscard]] Plain<HDerived> subspace_attention_adjoint(const Eigen::MatrixBase<HDerived>& projected, Index heads,
                                                         const Eigen::MatrixBase<CotangentDerived>& cotangent,
                                                         const AttentionOptions& options = {}) {
  using S = typename HDerived::Scalar;
  detail::check_heads(projected, heads);
  options.check(projected.cols());
  check_shape("subspace attention: cotangent", cotangent, projected.rows(), projected.cols());
  const auto& h = evaluated(projected);
  const auto& c = evaluated(cotangent);
  const Index p = h.rows() / heads, tokens = h.cols();
  Plain<HDerived> result = Plain<HDerived>::Zero(h.rows(), tokens);
  for (Index k = 0; k < heads; ++k)
    for (Index first = 0; first < tokens; first += detail::query_block) {
      const Index n = std::min(detail::query_block, tokens - first);
      const auto h_k = h.middleRows(k * p, p);
      const auto c_k = c.block(k * p, first, p, n);
      const Index keys = detail::seen_keys(options, tokens, first, n);
      Matrix<S> probabilities(keys, n), dp = h_k.leftCols(keys).transpose() * c_k;
      detail::attention_probabilities(h_k, first, options, probabilities);
      detail::attend_adjoint(h_k, first, options, probabilities, c_k, dp, result.middleRows(k * p, p));
    }
  return result;
}

/// SSA(Z | U_k) = (U_k^T Z) softmax((U_k^T Z)^T (U_k^T Z)), p x N. Source: arXiv 2311.13110, eq. (11).
/// Throws as subspace_attention, and ShapeError unless U_k has as many rows as Z.
template <class ZDerived, class BasisDerived>
[[nodiscard]] auto ssa(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<BasisDerived>& basis,
                       const AttentionOptions& options = {}) {
  check_size("SSA: rows of the basis", basis.rows(), tokens.rows());
  return subspace_attention((basis.transpose() * tokens).eval(), 1, options);
}

/// MSSA(Z | U_[K]) = rate_factor [U_1 ... U_K] [SSA_1; ...; SSA_K], d x N: the output is tied to U.
/// Source: arXiv 2311.13110, eq. (12), where rate_factor = p / (N epsilon^2).
/// Throws as subspace_attention, and ShapeError unless U has as many rows as Z.
template <class ZDerived, class Bases>
[[nodiscard]] Plain<ZDerived> mssa(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                   const AttentionOptions& options = {}) {
  check_size("MSSA: dimension of the subspaces", subspaces.dim(), tokens.rows());
  const auto heads = subspace_attention((subspaces.bases().transpose() * tokens).eval(), subspaces.heads(), options);
  return static_cast<typename ZDerived::Scalar>(options.rate_factor) * (subspaces.bases() * heads);
}

/// MSSA with a free output, as published: rate_factor (W [SSA_1; ...; SSA_K] + b 1^T), W is d' x (K p), b is d' x 1.
/// Source: arXiv 2311.13110, eq. (115).
/// Throws as subspace_attention, and ShapeError on a wrong size.
template <class ZDerived, class Bases, class WDerived, class BDerived>
[[nodiscard]] auto mssa(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                        const Eigen::MatrixBase<WDerived>& output_weight,
                        const Eigen::MatrixBase<BDerived>& output_bias, const AttentionOptions& options = {}) {
  check_size("MSSA: dimension of the subspaces", subspaces.dim(), tokens.rows());
  check_size("MSSA: columns of the output weight", output_weight.cols(), subspaces.bases().cols());
  check_shape("MSSA: output bias", output_bias, output_weight.rows(), 1);
  const auto heads = subspace_attention((subspaces.bases().transpose() * tokens).eval(), subspaces.heads(), options);
  const auto factor = static_cast<typename ZDerived::Scalar>(options.rate_factor);
  return (factor * ((output_weight * heads).colwise() + output_bias.derived().col(0))).eval();
}

namespace detail {

/// What dL/dH, (K p) x N, becomes of Z and of U in H = U^T Z.
template <class Z, class Bases, class HCotangent>
auto projection_adjoint(const Z& z, const Subspaces<Bases>& subspaces, const HCotangent& h_cotangent) {
  return SubspaceGradient<Plain<Z>, Plain<Bases>>{subspaces.bases() * h_cotangent, z * h_cotangent.transpose()};
}

}  // namespace detail

/// The adjoint of mssa with tied output: what dL/dMSSA(Z) = `cotangent`, d x N, becomes of Z and of U. With H = U^T Z,
/// O = [SSA_1; ...; SSA_K] and f = rate_factor:
///   dL/dO = f U^T cotangent,   dL/dH by subspace_attention_adjoint,
///   dL/dZ = U dL/dH,   dL/dU = Z (dL/dH)^T + f cotangent O^T.
/// Throws as mssa, and ShapeError unless the cotangent is d x N.
template <class ZDerived, class Bases, class CotangentDerived>
[[nodiscard]] auto mssa_adjoint(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                const Eigen::MatrixBase<CotangentDerived>& cotangent,
                                const AttentionOptions& options = {}) {
  check_size("MSSA: dimension of the subspaces", subspaces.dim(), tokens.rows());
  check_shape("MSSA: cotangent", cotangent, tokens.rows(), tokens.cols());
  const auto& z = evaluated(tokens);
  const auto c = (static_cast<typename ZDerived::Scalar>(options.rate_factor) * cotangent).eval();
  const auto h = (subspaces.bases().transpose() * z).eval();
  const auto heads = subspace_attention(h, subspaces.heads(), options);
  const auto heads_cotangent = (subspaces.bases().transpose() * c).eval();
  auto gradient = detail::projection_adjoint(
      z, subspaces, subspace_attention_adjoint(h, subspaces.heads(), heads_cotangent, options));
  gradient.bases += c * heads.transpose();
  return gradient;
}

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
[[nodiscard]] auto mssa_adjoint(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                const Eigen::MatrixBase<WDerived>& output_weight,
                                const Eigen::MatrixBase<CotangentDerived>& cotangent,
                                const AttentionOptions& options = {}) {
  using S = typename ZDerived::Scalar;
  check_size("MSSA: dimension of the subspaces", subspaces.dim(), tokens.rows());
  check_size("MSSA: columns of the output weight", output_weight.cols(), subspaces.bases().cols());
  check_shape("MSSA: cotangent", cotangent, output_weight.rows(), tokens.cols());
  const auto& z = evaluated(tokens);
  const auto c = (static_cast<S>(options.rate_factor) * cotangent).eval();
  const auto h = (subspaces.bases().transpose() * z).eval();
  const auto heads = subspace_attention(h, subspaces.heads(), options);
  const auto heads_cotangent = (output_weight.transpose() * c).eval();
  auto projection = detail::projection_adjoint(
      z, subspaces, subspace_attention_adjoint(h, subspaces.heads(), heads_cotangent, options));
  return MssaGradient<Plain<ZDerived>, Plain<Bases>, Plain<WDerived>, Vector<S>>{
      std::move(projection.tokens), std::move(projection.bases), c * heads.transpose(), c.rowwise().sum()};
}

}  // namespace crate
