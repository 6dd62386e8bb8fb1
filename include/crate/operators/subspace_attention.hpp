// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/product.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/operators/softmax.hpp"
#include "crate/operators/subspaces.hpp"

// Subspace self-attention: in one subspace (SSA), and in all together (MSSA).
//
// Letters: Z tokens, d x N; U_[K] = [U_1 ... U_K] subspaces, d x (K p); H_k = U_k^T Z, p x N, which serves as queries, keys and
// values alike. A column of scores belongs to a query, its rows to the keys.

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

// So many queries at a time: their scores stay in cache, and memory is linear in the number of tokens.
inline constexpr Index query_block = 128;

// The same where the number of tokens is known at compile time, or bounded: not more than lets the scores lie on the stack.
template <class S, int tokens>
inline constexpr Index bounded_query_block = tokens == Eigen::Dynamic || EIGEN_STACK_ALLOCATION_LIMIT == 0
                                                 ? query_block
                                                 : std::clamp<Index>(EIGEN_STACK_ALLOCATION_LIMIT /
                                                                         (Index{sizeof(S)} * std::max(tokens, 1)),
                                                                     1, query_block);

/// out = H softmax(logit_scale H^T Q) for the n queries Q = H[:, first ... first + n - 1], all p x n, over the visible keys.
/// `scores` is room for (number of keys) x n.
template <class H, class Scores, class Out>
void attend(const H& h, Index first, Index n, const AttentionOptions& options, Scores&& scores, Out&& out) {
  const bool causal = options.mask == AttentionMask::causal;
  Index keys = options.visible == -1 ? h.cols() : options.visible;
  if (causal) keys = std::min(keys, first + n);
  auto used = scores.topLeftCorner(keys, n);
  used.noalias() = h.leftCols(keys).transpose() * h.middleCols(first, n);
  used *= static_cast<typename H::Scalar>(options.logit_scale);
  for (Index j = 0; j < n; ++j) {
    const Index seen = causal ? std::min(keys, first + j + 1) : keys;
    softmax_columns_in_place(used.col(j).head(seen));
    used.col(j).tail(keys - seen).setZero();
  }
  out.noalias() = h.leftCols(keys) * used;
}

/// How many rows of room `attend_all` needs for the scores: every column begins on a cache line, for sums over columns go by
/// where these begin, and must not depend on which thread computes them.
inline Index score_rows(const TokenLayout& layout) {
  constexpr Index line = 16;
  return (layout.longest() + line - 1) / line * line;
}

/// How many columns of room `attend_all` needs for the scores.
inline Index score_columns(const TokenLayout& layout, const Threads& threads) {
  return std::min(query_block, layout.longest()) * threads.count();
}

/// For every set of the layout and every head: out = SSA of the head's rows of H, both (K p) x (total tokens).
/// `scores` is room for longest set x score_columns.
template <class H, class Scores, class Out>
void attend_all(const H& h, Index heads, const TokenLayout& layout, AttentionOptions options, Scores& scores, Out& out,
                Threads& threads) {
  const Index p = h.rows() / heads;
  const Index room = std::min(query_block, layout.longest());
  const Index blocks = (layout.longest() + query_block - 1) / query_block;
  threads.for_each(layout.sets() * heads * blocks, [&](Index piece, int worker) {
    const Index set = piece / (heads * blocks), head = piece / blocks % heads, first = piece % blocks * query_block;
    const Index n = std::min(query_block, layout.length(set) - first);
    if (n <= 0) return;
    AttentionOptions of_set = options;
    of_set.visible = layout.visible(set);
    const auto h_k = h.block(head * p, layout.begin(set), p, layout.length(set));
    attend(h_k, first, n, of_set, scores.middleCols(worker * room, room),
           out.block(head * p, layout.begin(set) + first, p, n));
  });
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
  check_not_empty("subspace attention: projected tokens", projected);
  options.check(projected.cols());
  if (heads < 1 || projected.rows() % heads != 0)
    throw ShapeError(concatenate("subspace attention: expected a number of heads that divides ", projected.rows(),
                                 " rows, found ", heads));
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

}  // namespace crate
