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

/// B = (I + a W W^T)^{-1}, p x p, summed and factorised in double: W (I + a W^T W)^{-1} = B W.
template <class W>
auto regularised_inverse(const W& w, double a) {
  using S = typename W::Scalar;
  constexpr int bound = W::MaxRowsAtCompileTime;
  using Square = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, bound, bound>;
  const auto in_double = w.template cast<double>();
  Square gram = Square::Identity(w.rows(), w.rows());
  gram.noalias() += a * (in_double * in_double.transpose());
  const Square inverse = gram.llt().solve(Square::Identity(w.rows(), w.rows()));
  return inverse.template cast<S>().eval();
}

/// dL/dW of F = (I + a W W^T)^{-1} W, for the cotangent C of F: with B as above and G = B C,
///   dL/dW = G - a (G F^T + F C^T) applied in the order that stays p x p: G - a ((G F^T) W + (F C^T) F).
template <class W, class F, class C, class Out>
void exact_adjoint_into(const W& w, const F& f, const C& cotangent, double a, Out&& out) {
  using S = typename W::Scalar;
  const auto inverse = regularised_inverse(w, a);
  out.noalias() = inverse * cotangent;
  const auto along_w = (static_cast<S>(a) * (out * f.transpose())).eval();
  const auto along_f = (static_cast<S>(a) * (f * cotangent.transpose())).eval();
  out.noalias() -= along_w * w;
  out.noalias() -= along_f * f;
}

/// dL/dW of F = W - a W W^T W, for the cotangent C of F: C - a ((C W^T + W C^T) W + W W^T C).
template <class W, class C, class Out>
void first_order_adjoint_into(const W& w, const C& cotangent, double a, Out&& out) {
  using S = typename W::Scalar;
  const auto cross = (static_cast<S>(a) * (cotangent * w.transpose())).eval();
  const auto gram = (static_cast<S>(a) * (w * w.transpose())).eval();
  out = cotangent;
  out.noalias() -= (cross + cross.transpose()).eval() * w;
  out.noalias() -= gram * cotangent;
}

/// The two scalars of the step Z <- skip Z + scale sum_k U_k T(W_k).
struct CompressionWeights {
  double skip, scale;
};

inline CompressionWeights compression_weights(const CompressionOptions& options, double a) {
  if (options.step == CompressionStep::softmax) return {1 - options.kappa * a, options.kappa * a * options.mssa_factor};
  return {1, -options.kappa * a};
}

/// The step on projected tokens: `h` holds T(H_k) of the softmax step already, H_k itself of the others. In every set, it becomes
/// scale T(H_k) for the N visible tokens, and 0 for padding, which stays as it is.
template <class H>
void compress_projected(H& h, Index heads, const TokenLayout& layout, const CompressionOptions& options,
                        Threads& threads) {
  using S = typename H::Scalar;
  const Index p = h.rows() / heads;
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

/// The adjoint of compress_projected but for the softmax: what the cotangent of scale T(H_k), (K p) x (total tokens), becomes of
/// H_k, or of T(H_k) of the softmax step, where `compressed` is scale T(H_k). Padding gets 0. `cotangent` is overwritten.
template <class H, class Cotangent, class Out>
void compress_projected_adjoint(const H& h, const H& compressed, Index heads, const TokenLayout& layout,
                                const CompressionOptions& options, Cotangent& cotangent, Out& h_cotangent,
                                Threads& threads) {
  using S = typename Out::Scalar;
  const Index p = h.rows() / heads;
  threads.for_each(layout.sets() * heads, [&](Index piece, int) {
    const Index set = piece / heads, row = piece % heads * p, begin = layout.begin(set);
    const Index visible = layout.visible(set);
    const double a = rate_factor(p, visible, options.epsilon);
    const auto scale = static_cast<S>(compression_weights(options, a).scale);
    const auto w = h.block(row, begin, p, visible);
    auto c = cotangent.block(row, begin, p, visible);
    auto out = h_cotangent.block(row, begin, p, visible);
    c *= scale;
    h_cotangent.block(row, begin + visible, p, layout.length(set) - visible).setZero();
    if (scale == S(0))
      out.setZero();
    else if (options.step == CompressionStep::exact)
      exact_adjoint_into(w, (compressed.block(row, begin, p, visible) / scale).eval(), c, a, out);
    else if (options.step == CompressionStep::first_order)
      first_order_adjoint_into(w, c, a, out);
    else
      out = c;
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

/// The adjoint of compress: what dL/dcompress(Z) = `cotangent`, d x N, becomes of Z and of U. With W_k = U_k^T Z, the step
/// Z <- skip Z + scale sum_k U_k T(W_k) and C_k = scale U_k^T cotangent:
///   dL/dZ = skip cotangent + sum_k U_k dL/dW_k,   dL/dU_k = Z (dL/dW_k)^T + scale cotangent T(W_k)^T, and dL/dW_k is
///   exact        G - a (G F^T W_k + F C_k^T F),  G = (I + a W_k W_k^T)^{-1} C_k,  F = T(W_k) = (I + a W_k W_k^T)^{-1} W_k
///   first_order  C_k - a (C_k W_k^T W_k + W_k C_k^T W_k + W_k W_k^T C_k)
///   softmax      that of subspace_attention
/// Throws as compress, and ShapeError unless the cotangent is d x N.
template <class ZDerived, class Bases, class CotangentDerived>
[[nodiscard]] SubspaceGradient<Plain<ZDerived>, Plain<Bases>> compress_adjoint(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
    const Eigen::MatrixBase<CotangentDerived>& cotangent, const CompressionOptions& options = {}) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  check_shape("compression: cotangent", cotangent, tokens.rows(), tokens.cols());
  using S = typename ZDerived::Scalar;
  const auto& z = evaluated(tokens);
  const auto& c = evaluated(cotangent);
  const Index heads = subspaces.heads();
  const TokenLayout layout = TokenLayout::single(z.cols());
  Threads alone;
  const AttentionOptions attention{.logit_scale = options.logit_scale};
  const Matrix<S> h = subspaces.bases().transpose() * z;
  Matrix<S> compressed = options.step == CompressionStep::softmax ? subspace_attention(h, heads, attention) : h;
  detail::compress_projected(compressed, heads, layout, options, alone);
  Matrix<S> step_cotangent = subspaces.bases().transpose() * c, h_cotangent(h.rows(), h.cols());
  detail::compress_projected_adjoint(h, compressed, heads, layout, options, step_cotangent, h_cotangent, alone);
  if (options.step == CompressionStep::softmax)
    h_cotangent = subspace_attention_adjoint(h, heads, h_cotangent, attention);
  auto gradient = detail::projection_adjoint(z, subspaces, h_cotangent);
  const double a = rate_factor(subspaces.head_dim(), z.cols(), options.epsilon);
  gradient.tokens += static_cast<S>(detail::compression_weights(options, a).skip) * c;
  gradient.bases += c * compressed.transpose();
  return gradient;
}

}  // namespace crate
