// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Eigenvalues>
#include <cmath>
#include <limits>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/product.hpp"
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
  double epsilon = 0.5;  ///< epsilon > 0, finite, and so its square
  CompressionStep step = CompressionStep::exact;
  double logit_scale = 1;  ///< of the softmax step: 1 in theory
  double mssa_factor = 1;  ///< of the softmax step: eq. (12) has p / (N epsilon^2) here, a second time

  void check() const {
    detail::check_epsilon(epsilon);
    check_option(std::isfinite(kappa), "a finite kappa", kappa);
  }
};

/// The largest step size with which an exact step never raises R^c(Z | U_[K]) of N tokens: 2 / (a ||U||_2^2),
/// a = p / (N epsilon^2). R^c is a function of U^T Z with a gradient by it of Lipschitz constant a, so that of R^c by Z
/// has L = a ||U||_2^2; a step of kappa against the gradient g lowers R^c by at least kappa (1 - kappa L / 2) ||g||^2
/// (Nesterov, "Introductory lectures on convex optimization", 2004, eq. (1.2.12)). For tokens short beside epsilon no
/// larger bound holds. The columns of U need not be orthonormal. Infinite for U = 0. Throws OptionError on epsilon or a
/// number of tokens out of range, PrecisionError on U that is not finite.
template <class Bases>
[[nodiscard]] double largest_kappa(const Subspaces<Bases>& subspaces, Index tokens, double epsilon);

namespace detail {

/// a = p / (N epsilon^2) in steps on N tokens of scalar S, which multiply by it; 0 for no tokens.
template <crate::Scalar S>
[[nodiscard]] double step_factor(const RateScale& scale) {
  if (scale.tokens == 0) return 0;
  const double a = scale.factor();
  if (!std::isnormal(static_cast<S>(a)))
    check_option(false,
                 concatenate("an epsilon for which p / (N epsilon^2) = ", scale.dim, " / (", scale.tokens,
                             " epsilon^2) neither overflows nor underflows"),
                 scale.epsilon);
  return a;
}

/// W_k by (I + a W_k W_k^T)^{-1} W_k where the Gram matrix in double does not do.
template <class W>
void precise_exact_in_place(W&& w, const RateScale& scale) {
  using S = typename std::decay_t<W>::Scalar;
  const MatrixOf<DoubleDouble> exact = w.template cast<double>().template cast<DoubleDouble>();
  const auto [shrunk, size] = PreciseGram<DoubleDouble>(exact, scale).shrunk();
  const double tokens = frobenius_norm(w);
  if (!(size.error <= last_tolerance * tokens)) throw unreliable("compression", w, scale.epsilon);
  w = shrunk.template cast<double>().template cast<S>();
}

/// Replaces W_k by T(W_k) of the step, where the step is Z <- skip Z + scale sum_k U_k T(W_k). Exact relative to W_k:
/// the tokens that the result is subtracted from are no more exact.
template <class W>
void exact_in_place(W&& w, const RateScale& scale) {
  using S = typename std::decay_t<W>::Scalar;
  const RegularisedGram gram(evaluated(w), scale.factor());
  const auto shrinking = gram.shrinking();
  if (shrinking.error <= step_tolerance<S> * shrinking.tokens)
    gram.shrink_in_place(w, shrinking);
  else
    precise_exact_in_place(w, scale);
}

template <class W>
void first_order_in_place(W&& w, double a) {
  using S = typename std::decay_t<W>::Scalar;
  constexpr int bound = std::decay_t<W>::MaxRowsAtCompileTime;
  const Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, 0, bound, bound> gram = w * w.transpose();
  w -= (static_cast<S>(a) * (gram * w)).eval();
}

/// dL/dW of F = (I + a W W^T)^{-1} W in twice the digits of double.
template <class W, class C, class Out>
void precise_exact_adjoint_into(const W& w, const C& cotangent, const RateScale& scale, Out&& out) {
  using S = typename W::Scalar;
  const auto exact = [](const auto& x) -> MatrixOf<DoubleDouble> {
    return x.template cast<double>().template cast<DoubleDouble>();
  };
  const auto [result, size] = PreciseGram<DoubleDouble>(exact(w), scale, 0, true).adjoint(exact(cotangent));
  if (!size.within(last_tolerance)) throw unreliable("adjoint of the compression", w, scale.epsilon);
  out = result.template cast<double>().template cast<S>();
}

/// dL/dW of F = (I + a W W^T)^{-1} W, for the cotangent C of F: with B = (I + a W W^T)^{-1}, p x p, summed and
/// factorised in double, and G = B C,
///   dL/dW = G - a (G F^T + F C^T) applied in the order that stays p x p: G - a ((G F^T) W + (F C^T) F).
template <class W, class F, class C, class Out>
void exact_adjoint_into(const W& w, const F& f, const C& cotangent, const RateScale& scale, Out&& out) {
  using S = typename W::Scalar;
  const double a = scale.factor();
  const RegularisedGram<W, true> gram(w, a);
  const auto shrinking = gram.shrinking();
  // F and G pass on their errors, and their own roundings, times ||a^{1/2} W||; 1 is for C.
  const double error = (rounding_of_sum<S>(w.rows()) + shrinking.error) * (1 + shrinking.tokens) * (1 + shrinking.size);
  if (!(error <= 10 * step_tolerance<S>)) {
    precise_exact_adjoint_into(w, cotangent, scale, out);
    return;
  }
  out.noalias() = shrinking.inverse * cotangent;
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

/// The step on projected tokens: `h` holds T(H_k) of the softmax step already, H_k itself of the others. In every set,
/// it becomes scale T(H_k) for the N visible tokens, and 0 for padding, which stays as it is.
template <class H>
void compress_projected(H& h, Index heads, const TokenLayout& layout, const CompressionOptions& options,
                        Threads& threads) {
  using S = typename H::Scalar;
  const Index p = h.rows() / heads;
  threads.for_each(layout.sets() * heads, [&](Index piece, int) {
    const Index set = piece / heads, head = piece % heads;
    const Index visible = layout.visible(set);
    const RateScale scale{p, visible, options.epsilon};
    const double a = step_factor<S>(scale);
    auto w = h.block(head * p, layout.begin(set), p, visible);
    if (options.step == CompressionStep::exact && visible > 0) exact_in_place(w, scale);
    if (options.step == CompressionStep::first_order) first_order_in_place(w, a);
    w *= static_cast<S>(compression_weights(options, a).scale);
    h.block(head * p, layout.begin(set) + visible, p, layout.length(set) - visible).setZero();
  });
}

/// The adjoint of compress_projected but for the softmax: what the cotangent of scale T(H_k), (K p) x (total tokens),
/// becomes of H_k, or of T(H_k) of the softmax step, where `compressed` is scale T(H_k). Padding gets 0. `cotangent` is
/// overwritten.
template <class H, class Cotangent, class Out>
void compress_projected_adjoint(const H& h, const H& compressed, Index heads, const TokenLayout& layout,
                                const CompressionOptions& options, Cotangent& cotangent, Out& h_cotangent,
                                Threads& threads) {
  using S = typename Out::Scalar;
  const Index p = h.rows() / heads;
  threads.for_each(layout.sets() * heads, [&](Index piece, int) {
    const Index set = piece / heads, row = piece % heads * p, begin = layout.begin(set);
    const Index visible = layout.visible(set);
    const RateScale rate_scale{p, visible, options.epsilon};
    const double a = step_factor<S>(rate_scale);
    const auto scale = static_cast<S>(compression_weights(options, a).scale);
    const auto w = h.block(row, begin, p, visible);
    auto c = cotangent.block(row, begin, p, visible);
    auto out = h_cotangent.block(row, begin, p, visible);
    c *= scale;
    h_cotangent.block(row, begin + visible, p, layout.length(set) - visible).setZero();
    if (scale == S(0))
      out.setZero();
    else if (options.step == CompressionStep::exact)
      exact_adjoint_into(w, (compressed.block(row, begin, p, visible) / scale).eval(), c, rate_scale, out);
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
    const double a = step_factor<typename Z::Scalar>({p, visible, options.epsilon});
    const auto skip = static_cast<typename Z::Scalar>(compression_weights(options, a).skip);
    for_each_columns(visible, threads,
                     [&](Index j, Index n) { out.middleCols(begin + j, n) = skip * z.middleCols(begin + j, n); });
    out.middleCols(begin + visible, padding) = z.middleCols(begin + visible, padding);
  }
}

}  // namespace detail

template <class Bases>
double largest_kappa(const Subspaces<Bases>& subspaces, Index tokens, double epsilon) {
  detail::check_epsilon(epsilon);
  check_option(tokens >= 1, "tokens >= 1", tokens);
  const Matrix<double> u = subspaces.bases().template cast<double>();
  if (!u.allFinite()) throw PrecisionError("largest kappa: expected subspaces of finite numbers, found others");
  const double size = u.cwiseAbs().maxCoeff();
  if (size == 0) return std::numeric_limits<double>::infinity();
  const Matrix<double> unit = u / size;
  const Matrix<double> gram =
      u.rows() < u.cols() ? Matrix<double>(unit * unit.transpose()) : Matrix<double>(unit.transpose() * unit);
  const Eigen::SelfAdjointEigenSolver<Matrix<double>> solver(gram, Eigen::EigenvaluesOnly);
  if (!has_succeeded(solver)) throw PrecisionError("largest kappa: the norm of the subspaces could not be found");
  // Rounded down by more than the eigenvalue may be too small.
  const double rounding = static_cast<double>(u.size()) * std::numeric_limits<double>::epsilon();
  const double root = detail::RateScale{subspaces.head_dim(), tokens, epsilon}.root() * size;
  return 2 / (solver.eigenvalues().maxCoeff() * (1 + rounding)) / root / root;
}

/// One step that compresses tokens against the subspaces, d x N. With a = p / (N epsilon^2):
///   exact        Z - kappa grad R^c = Z - kappa a sum_k U_k (I + a W_k W_k^T)^{-1} W_k
///   first_order  Z - kappa a sum_k U_k (W_k - a W_k W_k^T W_k)
///   softmax      (1 - kappa a) Z + kappa a mssa_factor sum_k U_k SSA(Z | U_k)
/// For 0 < kappa <= largest_kappa(U, N, epsilon) = 2 / (a ||U||_2^2) an exact step never raises R^c, but for the
/// rounding of its result; the other two come without such a law. Where W_k is so nearly singular, or so far above
/// epsilon, that double does not do, the inverse is computed in twice its digits, some hundred times as slowly.
/// Source: arXiv 2311.13110, eqs. (9) and (10). Cost: O(N d K p + N K p^2 + K p^3), linear in N, but for softmax, which
/// adds N^2 K p. Throws OptionError on an option out of range, ShapeError unless U has as many rows as Z, and
/// PrecisionError where not even twice the digits would do.
template <class ZDerived, class Bases>
[[nodiscard]] Plain<ZDerived> compress(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                       const CompressionOptions& options = {}) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  const auto& z = evaluated(tokens);
  using S = typename ZDerived::Scalar;
  const Index p = subspaces.head_dim();
  const detail::RateScale scale{p, z.cols(), options.epsilon};
  const double a = detail::step_factor<S>(scale);
  const auto weights = detail::compression_weights(options, a);
  auto projected = (subspaces.bases().transpose() * z).eval();
  if (options.step == CompressionStep::softmax)
    projected = subspace_attention(projected, subspaces.heads(), {.logit_scale = options.logit_scale});
  for (Index k = 0; k < subspaces.heads(); ++k) {
    auto w = projected.middleRows(k * p, p);
    if (options.step == CompressionStep::exact) detail::exact_in_place(w, scale);
    if (options.step == CompressionStep::first_order) detail::first_order_in_place(w, a);
  }
  Plain<ZDerived> result = static_cast<S>(weights.skip) * z;
  result.noalias() += static_cast<S>(weights.scale) * (subspaces.bases() * projected);
  return result;
}

/// The adjoint of compress: what dL/dcompress(Z) = `cotangent`, d x N, becomes of Z and of U. With W_k = U_k^T Z, the
/// step Z <- skip Z + scale sum_k U_k T(W_k) and C_k = scale U_k^T cotangent:
///   dL/dZ = skip cotangent + sum_k U_k dL/dW_k,   dL/dU_k = Z (dL/dW_k)^T + scale cotangent T(W_k)^T, and dL/dW_k is
///   exact        G - a (G F^T W_k + F C_k^T F),  G = (I + a W_k W_k^T)^{-1} C_k,
///                F = T(W_k) = (I + a W_k W_k^T)^{-1} W_k
///   first_order  C_k - a (C_k W_k^T W_k + W_k C_k^T W_k + W_k W_k^T C_k)
///   softmax      that of subspace_attention
/// dL/dW_k is as exact as compress for W_k as it was rounded, relative to C_k; the products with Z and the cotangent
/// round as products do. Throws as compress, and ShapeError unless the cotangent is d x N.
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
  const double a = detail::step_factor<S>({subspaces.head_dim(), z.cols(), options.epsilon});
  gradient.tokens += static_cast<S>(detail::compression_weights(options, a).skip) * c;
  gradient.bases += c * compressed.transpose();
  return gradient;
}

}  // namespace crate
