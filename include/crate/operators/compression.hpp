// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/product.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/operators/coding_rate.hpp"
#include "crate/operators/subspace_attention.hpp"
#include "crate/operators/subspace_coding_rate.hpp"

// The compression step Z - kappa grad R^c(Z | U_[K]), exact or approximated. Letters as in coding_rate.hpp;
// W_k = U_k^T Z, p x N, and a = p / (N epsilon^2).

namespace crate {

/// How faithfully a compression step follows the gradient of R^c.
enum class CompressionStep {
  exact,        ///< the gradient itself
  first_order,  ///< its Neumann series up to the first order, good only while a ||W_k||^2 is well below 1
  softmax       ///< the series with its correlations replaced by their softmax: what leads to MSSA
};

struct CompressionOptions {
  double kappa = 0.1;    ///< step size; a negative one expands, as the decoder does
  double epsilon = 0.5;  ///< epsilon > 0
  CompressionStep step = CompressionStep::exact;
  double logit_scale = 1;  ///< of the softmax step: 1 in theory
  double mssa_factor = 1;  ///< of the softmax step: eq. (12) has p / (N epsilon^2) here, a second time

  void check() const { check_option(epsilon > 0, "epsilon > 0", epsilon); }
};

namespace detail {

/// Replaces W_k by T(W_k) of the step, where the step is Z <- skip Z + scale sum_k U_k T(W_k).
template <class W>
void exact_in_place(W&& w, double a) {
  RegularisedGram(evaluated(w), a).shrink_in_place(w);
}

template <class W>
void first_order_in_place(W&& w, double a) {
  using S = typename std::decay_t<W>::Scalar;
  constexpr int bound = std::decay_t<W>::MaxRowsAtCompileTime;
  const Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, 0, bound, bound> gram = w * w.transpose();
  w -= (static_cast<S>(a) * (gram * w)).eval();
}

/// The two scalars of the step Z <- skip Z + scale sum_k U_k T(W_k).
struct CompressionWeights {
  double skip, scale;
};

inline CompressionWeights compression_weights(const CompressionOptions& options, double a) {
  if (options.step == CompressionStep::softmax) return {1 - options.kappa * a, options.kappa * a * options.mssa_factor};
  return {1, -options.kappa * a};
}

/// The step on projected tokens H = U^T Z, (K p) x (total tokens): in every set, H_k becomes scale T(H_k) for the N visible
/// tokens, and 0 for padding, which stays as it is. The frame lends room to the softmax step.
template <class H>
void compress_projected(H& h, Index heads, const TokenLayout& layout, const CompressionOptions& options,
                        Workspace::Frame& frame, Threads& threads) {
  using S = typename H::Scalar;
  const Index p = h.rows() / heads;
  if (options.step == CompressionStep::softmax) {
    auto attended = frame.template matrix<S>(h.rows(), h.cols());
    auto scores = frame.template matrix<S>(score_rows(layout), score_columns(layout, threads));
    attend_all(h, heads, layout, {.logit_scale = options.logit_scale}, scores, attended, threads);
    h = attended;
  }
  threads.for_each(layout.sets() * heads, [&](Index piece, int) {
    const Index set = piece / heads, head = piece % heads;
    const Index visible = layout.visible(set);
    const double a = rate_factor(p, visible, options.epsilon);
    auto w = h.block(head * p, layout.begin(set), p, visible);
    if (options.step == CompressionStep::exact) exact_in_place(w, a);
    if (options.step == CompressionStep::first_order) first_order_in_place(w, a);
    w *= static_cast<S>(compression_weights(options, a).scale);
    h.block(head * p, layout.begin(set) + visible, p, layout.length(set) - visible).setZero();
  });
}

/// out = skip Z for the visible tokens of every set, Z for padding.
template <class Z, class Out>
void keep_tokens(const Z& z, Index p, const TokenLayout& layout, const CompressionOptions& options, Out& out,
                 Threads& threads) {
  for (Index s = 0; s < layout.sets(); ++s) {
    const Index begin = layout.begin(s), visible = layout.visible(s), padding = layout.length(s) - visible;
    const double a = rate_factor(p, visible, options.epsilon);
    const auto skip = static_cast<typename Z::Scalar>(compression_weights(options, a).skip);
    for_each_columns(visible, threads,
                     [&](Index j, Index n) { out.middleCols(begin + j, n) = skip * z.middleCols(begin + j, n); });
    out.middleCols(begin + visible, padding) = z.middleCols(begin + visible, padding);
  }
}

}  // namespace detail

/// One step that compresses tokens against the subspaces, d x N. With a = p / (N epsilon^2):
///   exact        Z - kappa grad R^c = Z - kappa a sum_k U_k (I + a W_k W_k^T)^{-1} W_k
///   first_order  Z - kappa a sum_k U_k (W_k - a W_k W_k^T W_k)
///   softmax      (1 - kappa a) Z + kappa a mssa_factor sum_k U_k SSA(Z | U_k)
/// For 0 < kappa < 2 / (a ||U||^2) an exact step never raises R^c; the other two come without such a law.
/// Source: arXiv 2311.13110, eqs. (9) and (10). Cost: O(N d K p + N K p^2 + K p^3), linear in N, but for softmax, which adds
/// N^2 K p. Throws OptionError on epsilon <= 0, ShapeError unless U has as many rows as Z.
template <class ZDerived, class Bases>
[[nodiscard]] Plain<ZDerived> compress(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                       const CompressionOptions& options = {}) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  const auto& z = evaluated(tokens);
  const double a = rate_factor(subspaces.head_dim(), z.cols(), options.epsilon);
  const auto weights = detail::compression_weights(options, a);
  using S = typename ZDerived::Scalar;
  const Index p = subspaces.head_dim();
  auto projected = (subspaces.bases().transpose() * z).eval();
  if (options.step == CompressionStep::softmax)
    projected = subspace_attention(projected, subspaces.heads(), {.logit_scale = options.logit_scale});
  for (Index k = 0; k < subspaces.heads(); ++k) {
    auto w = projected.middleRows(k * p, p);
    if (options.step == CompressionStep::exact) detail::exact_in_place(w, a);
    if (options.step == CompressionStep::first_order) detail::first_order_in_place(w, a);
  }
  Plain<ZDerived> result = static_cast<S>(weights.skip) * z;
  result.noalias() += static_cast<S>(weights.scale) * (subspaces.bases() * projected);
  return result;
}

}  // namespace crate
