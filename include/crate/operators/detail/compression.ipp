// SPDX-License-Identifier: MIT
// The bodies of compression.hpp.

namespace crate {

namespace detail {

/// a = p / (N epsilon^2), or b = d / (N epsilon^2), in steps on N tokens of scalar S, which multiply by it.
template <crate::Scalar S>
[[nodiscard]] double step_factor(const RateScale& scale) {
  const double a = scale.factor();
  if (!std::isnormal(static_cast<S>(a)))
    throw OptionError(concatenate("compression: expected an epsilon for which dimension / (N epsilon^2) = ", scale.dim,
                                  " / (", scale.tokens, " epsilon^2) neither overflows nor underflows, found ",
                                  scale.epsilon));
  return a;
}

/// W_k by (I + a W_k W_k^T)^{-1} W_k where the Gram matrix in double does not do.
template <class Wide = DoubleDouble>
[[nodiscard]] Matrix<double> precise_exact(const Matrix<double>& w, const RateScale& scale) {
  const auto [shrunk, size] = PreciseGram<Wide>(PlainMatrix<Wide>(w), scale).shrunk();
  if (!(size.error <= last_tolerance * frobenius_norm(w))) throw unreliable("compression", w, scale.epsilon);
  return shrunk.rounded();
}

/// Replaces W_k by T(W_k) of the step, where the step is Z <- skip Z + scale sum_k U_k T(W_k). Exact relative to W_k:
/// the tokens that the result is subtracted from are no more exact.
template <class W>
void exact_in_place(W&& w, const RateScale& scale) {
  using S = typename std::decay_t<W>::Scalar;
  const auto gram = regularised_gram(w, scale.factor());
  const auto by = gram.template shrinking<S>();
  if (std::isfinite(by.error) && by.error <= step_tolerance<S> * by.tokens)
    shrink_in_place(gram, by, w);
  else
    w = precise_exact(w.template cast<double>(), scale).template cast<S>();
}

template <class W>
void first_order_in_place(W&& w, double a) {
  using S = typename std::decay_t<W>::Scalar;
  constexpr int bound = std::decay_t<W>::MaxRowsAtCompileTime;
  Threads alone;
  Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, 0, bound, bound> gram(w.rows(), w.rows());
  const Plain<std::decay_t<W>> copy = w;
  multiply(copy, copy.transpose(), gram, alone);
  multiply_add(-a, gram, copy, w, alone);
}

/// dL/dW of F = (I + a W W^T)^{-1} W in twice the digits of double.
template <class Wide = DoubleDouble>
[[nodiscard]] Matrix<double> precise_exact_adjoint(const Matrix<double>& w, const Matrix<double>& cotangent,
                                                   const RateScale& scale) {
  const PreciseGram<Wide> gram(PlainMatrix<Wide>(w), scale, 0, true);
  const auto [result, size] = gram.adjoint(PlainMatrix<Wide>(cotangent));
  if (!size.within(last_tolerance)) throw unreliable("adjoint of the compression", w, scale.epsilon);
  return result.rounded();
}

template <crate::Scalar S>
void exact_adjoint_into(ConstTokens<S> w, ConstTokens<S> f, ConstTokens<S> cotangent, const RateScale& scale,
                        Tokens<S> out, double tolerance = 10 * step_tolerance<S>);

/// dL/dW of F where the arithmetic of S does not do: of floats in double, where that does.
template <crate::Scalar S>
[[nodiscard]] Matrix<S> wider_exact_adjoint(ConstTokens<S> w, ConstTokens<S> cotangent, const RateScale& scale) {
  const Matrix<double> wide = w.template cast<double>(), wide_cotangent = cotangent.template cast<double>();
  if constexpr (std::same_as<S, double>) {
    return precise_exact_adjoint(wide, wide_cotangent, scale);
  } else {
    Matrix<double> f = wide, result(w.rows(), w.cols());
    exact_in_place(f, scale);
    exact_adjoint_into<double>(wide, f, wide_cotangent, scale, result, 10 * step_tolerance<S>);
    return result.template cast<S>();
  }
}

/// The same for fewer tokens than dimensions: T(W^T) = T(W)^T, and the Gram matrix of tokens is the smaller one.
template <crate::Scalar S>
void exact_adjoint_of_few_into(ConstTokens<S> w, ConstTokens<S> f, ConstTokens<S> cotangent, const RateScale& scale,
                               Tokens<S> out, double tolerance) {
  const Matrix<S> by_rows = w.transpose(), f_by_rows = f.transpose(), cotangent_by_rows = cotangent.transpose();
  Matrix<S> result(w.cols(), w.rows());
  exact_adjoint_into<S>(by_rows, f_by_rows, cotangent_by_rows, scale, result, tolerance);
  out = result.transpose();
}

/// dL/dW of F = (I + a W W^T)^{-1} W, for the cotangent C of F: with B = (I + a W W^T)^{-1}, p x p, summed and
/// factorised in double, and G = B C,
///   dL/dW = G - a (G F^T + F C^T) applied in the order that stays p x p: G - a ((G F^T) W + (F C^T) F).
template <crate::Scalar S>
void exact_adjoint_into(ConstTokens<S> w, ConstTokens<S> f, ConstTokens<S> cotangent, const RateScale& scale,
                        Tokens<S> out, double tolerance) {
  if (w.cols() == 0) return;
  if (w.rows() > w.cols()) return exact_adjoint_of_few_into<S>(w, f, cotangent, scale, out, tolerance);
  const double a = scale.factor();
  const RegularisedGram<Eigen::Dynamic> gram(SummedIn<double>{}, view_of<const S>(w), a, /*by_rows=*/true);
  const auto shrinking = gram.template shrinking<S>();
  // F and G pass on their errors, and their own roundings, times ||a^{1/2} W||; 1 is for C.
  const double error = (rounding_of_sum<S>(w.rows()) + shrinking.error) * (1 + shrinking.tokens) * (1 + shrinking.size);
  if (!(error <= tolerance)) {
    out = wider_exact_adjoint<S>(w, cotangent, scale);
    return;
  }
  Threads alone;
  Matrix<S> along_w(w.rows(), w.rows()), along_f(w.rows(), w.rows());
  multiply(shrinking.inverse, cotangent, out, alone);
  multiply(out, f.transpose(), along_w, alone);
  multiply(f, cotangent.transpose(), along_f, alone);
  multiply_add(-a, along_w, w, out, alone);
  multiply_add(-a, along_f, f, out, alone);
}

/// dL/dW of F = W - a W W^T W, for the cotangent C of F: C - a ((C W^T + W C^T) W + W W^T C).
template <crate::Scalar S>
void first_order_adjoint_into(ConstTokens<S> w, ConstTokens<S> cotangent, double a, Tokens<S> out) {
  Threads alone;
  Matrix<S> cross(w.rows(), w.rows()), gram(w.rows(), w.rows());
  multiply(cotangent, w.transpose(), cross, alone);
  multiply(w, w.transpose(), gram, alone);
  const Matrix<S> both_ways = cross + cross.transpose();
  out = cotangent;
  multiply_add(-a, both_ways, w, out, alone);
  multiply_add(-a, gram, cotangent, out, alone);
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
template <crate::Scalar S>
void compress_projected(Tokens<S> h, Index heads, const TokenLayout& layout, const CompressionOptions& options,
                        Threads& threads) {
  const Index p = h.rows() / heads;
  threads.for_each(layout.sets() * heads, [&](Index piece, int) {
    const Index set = piece / heads, head = piece % heads;
    const Index visible = layout.visible(set);
    const RateScale scale{p, visible, options.epsilon};
    const double a = step_factor<S>(scale);
    Tokens<S> w = h.block(head * p, layout.begin(set), p, visible);
    if (options.step == CompressionStep::exact) exact_in_place(w, scale);
    if (options.step == CompressionStep::first_order) first_order_in_place(w, a);
    w *= static_cast<S>(compression_weights(options, a).scale);
    h.block(head * p, layout.begin(set) + visible, p, layout.length(set) - visible).setZero();
  });
}

/// The adjoint of compress_projected but for the softmax: what the cotangent of scale T(H_k), (K p) x (total tokens),
/// becomes of H_k, or of T(H_k) of the softmax step, where `compressed` is scale T(H_k). Padding gets 0. `cotangent` is
/// overwritten.
template <crate::Scalar S>
void compress_projected_adjoint(ConstTokens<S> h, ConstTokens<S> compressed, Index heads, const TokenLayout& layout,
                                const CompressionOptions& options, Tokens<S> cotangent, Tokens<S> h_cotangent,
                                Threads& threads) {
  const Index p = h.rows() / heads;
  threads.for_each(layout.sets() * heads, [&](Index piece, int) {
    const Index set = piece / heads, row = piece % heads * p, begin = layout.begin(set);
    const Index visible = layout.visible(set);
    const RateScale rate_scale{p, visible, options.epsilon};
    const double a = step_factor<S>(rate_scale);
    const auto scale = static_cast<S>(compression_weights(options, a).scale);
    const Eigen::Ref<const Matrix<S>> w = h.block(row, begin, p, visible);
    Tokens<S> c = cotangent.block(row, begin, p, visible), out = h_cotangent.block(row, begin, p, visible);
    c *= scale;
    h_cotangent.block(row, begin + visible, p, layout.length(set) - visible).setZero();
    if (scale == S(0)) {
      out.setZero();
    } else if (options.step == CompressionStep::exact) {
      const Matrix<S> f = compressed.block(row, begin, p, visible) / scale;
      exact_adjoint_into<S>(w, f, c, rate_scale, out);
    } else if (options.step == CompressionStep::first_order) {
      first_order_adjoint_into<S>(w, c, a, out);
    } else {
      out = c;
    }
  });
}

/// out = skip Z for the visible tokens of every set, Z for padding.
template <crate::Scalar S>
void keep_tokens(ConstTokens<S> z, Index p, const TokenLayout& layout, const CompressionOptions& options, Tokens<S> out,
                 Threads& threads) {
  for (Index s = 0; s < layout.sets(); ++s) {
    const Index begin = layout.begin(s), visible = layout.visible(s), padding = layout.length(s) - visible;
    const double a = step_factor<S>({p, visible, options.epsilon});
    const auto skip = static_cast<S>(compression_weights(options, a).skip);
    for_each_columns(visible, threads,
                     [&](Index j, Index n) { out.middleCols(begin + j, n) = skip * z.middleCols(begin + j, n); });
    out.middleCols(begin + visible, padding) = z.middleCols(begin + visible, padding);
  }
}

/// compress of sizes that are known at compile time, or bounded.
template <class Z, class Bases>
[[nodiscard]] Plain<Z> compress_bounded(const Z& z, const Bases& bases, Index heads,
                                        const CompressionOptions& options) {
  using S = typename Z::Scalar;
  const Index p = bases.cols() / heads;
  const RateScale scale{p, z.cols(), options.epsilon};
  const double a = step_factor<S>(scale);
  const auto weights = compression_weights(options, a);
  auto projected = (bases.transpose() * z).eval();
  if (options.step == CompressionStep::softmax)
    projected = subspace_attention(projected, heads, {.logit_scale = options.logit_scale});
  for (Index k = 0; k < heads; ++k) {
    auto w = projected.middleRows(k * p, p);
    if (options.step == CompressionStep::exact) exact_in_place(w, scale);
    if (options.step == CompressionStep::first_order) first_order_in_place(w, a);
  }
  Plain<Z> result = static_cast<S>(weights.skip) * z;
  result.noalias() += static_cast<S>(weights.scale) * (bases * projected);
  return result;
}

template <crate::Scalar S>
void rate_reduction_step(ConstTokens<S> z, ConstTokens<S> projected, ConstTokens<S> bases, Index heads,
                         const TokenLayout& layout, const CompressionOptions& options, Tokens<S> out,
                         Workspace& workspace, Threads& threads);
template <crate::Scalar S>
void rate_reduction_step_adjoint(ConstTokens<S> z, ConstTokens<S> projected, ConstTokens<S> bases, Index heads,
                                 const TokenLayout& layout, const CompressionOptions& options, ConstTokens<S> cotangent,
                                 Tokens<S> z_cotangent, Tokens<S> bases_cotangent, Workspace& workspace,
                                 Threads& threads);

/// compress of sizes that are known at run time.
template <crate::Scalar S>
[[nodiscard]] Matrix<S> compress_dynamic(ConstTokens<S> z, ConstTokens<S> bases, Index heads,
                                         const CompressionOptions& options) {
  const TokenLayout layout = TokenLayout::single(z.cols());
  Threads alone;
  Matrix<S> projected(bases.cols(), z.cols()), result(z.rows(), z.cols());
  multiply(bases.transpose(), z, projected, alone);
  if (is_on_rate_reduction(options.step)) {
    Workspace workspace;
    rate_reduction_step<S>(z, projected, bases, heads, layout, options, result, workspace, alone);
    return result;
  }
  if (options.step == CompressionStep::softmax)
    projected = subspace_attention_dynamic<S>(projected, heads, {.logit_scale = options.logit_scale});
  compress_projected<S>(projected, heads, layout, options, alone);
  keep_tokens<S>(z, bases.cols() / heads, layout, options, result, alone);
  multiply_add(1, bases, projected, result, alone);
  return result;
}

/// compress_adjoint of sizes that are known at run time.
template <crate::Scalar S>
[[nodiscard]] SubspaceGradient<Matrix<S>, Matrix<S>> compress_adjoint_dynamic(ConstTokens<S> z, ConstTokens<S> bases,
                                                                              Index heads, ConstTokens<S> cotangent,
                                                                              const CompressionOptions& options) {
  const TokenLayout layout = TokenLayout::single(z.cols());
  const bool is_softmax = options.step == CompressionStep::softmax;
  Threads alone;
  Workspace workspace;
  Matrix<S> h(bases.cols(), z.cols()), step_cotangent(h.rows(), h.cols()), h_cotangent(h.rows(), h.cols());
  multiply(bases.transpose(), z, h, alone);
  if (is_on_rate_reduction(options.step)) {
    SubspaceGradient<Matrix<S>, Matrix<S>> gradient{Matrix<S>(z.rows(), z.cols()),
                                                    Matrix<S>::Zero(z.rows(), bases.cols())};
    rate_reduction_step_adjoint<S>(z, h, bases, heads, layout, options, cotangent, gradient.tokens, gradient.bases,
                                   workspace, alone);
    return gradient;
  }
  multiply(bases.transpose(), cotangent, step_cotangent, alone);
  Matrix<S> attended, softmax, compressed = h;
  const AttentionHeads<S> attention = attention_heads(h, heads, layout, {.logit_scale = options.logit_scale});
  if (is_softmax) {
    attended.resize(h.rows(), h.cols());
    softmax.resize(h.cols(), 2 * heads);
    attend_heads_recorded<S>(instruction_set(), attention, {}, softmax_terms(softmax), columns_of(attended), workspace,
                             alone);
    compressed = attended;
  }
  compress_projected<S>(compressed, heads, layout, options, alone);
  compress_projected_adjoint<S>(h, compressed, heads, layout, options, step_cotangent, h_cotangent, alone);
  if (is_softmax) {
    step_cotangent = h_cotangent;
    attend_heads_adjoint<S>(instruction_set(), attention, {}, softmax_terms(std::as_const(softmax)),
                            columns_of(std::as_const(attended)), columns_of(std::as_const(step_cotangent)),
                            columns_of(h_cotangent), workspace, alone);
  }
  SubspaceGradient<Matrix<S>, Matrix<S>> gradient{Matrix<S>(z.rows(), z.cols()), Matrix<S>(z.rows(), bases.cols())};
  keep_tokens<S>(cotangent, bases.cols() / heads, layout, options, gradient.tokens, alone);
  multiply_add(1, bases, h_cotangent, gradient.tokens, alone);
  multiply(z, h_cotangent.transpose(), gradient.bases, alone);
  multiply_add(1, cotangent, compressed.transpose(), gradient.bases, alone);
  return gradient;
}

/// largest_kappa of U = `bases` on subspaces of dimension p.
[[nodiscard]] inline double largest_kappa_of(const Matrix<double>& bases, const RateScale& scale) {
  check_finite("largest kappa: subspaces", bases);
  const double size = bases.cwiseAbs().maxCoeff();
  if (size == 0) return std::numeric_limits<double>::infinity();
  const Matrix<double> unit = bases / size;
  const bool by_rows = bases.rows() < bases.cols();
  const MatrixView<const double> view = view_of<const double>(unit);
  Matrix<double> gram = Matrix<double>::Zero(std::min(unit.rows(), unit.cols()), std::min(unit.rows(), unit.cols()));
  add_lower_gram<double>(1, by_rows ? view : view.transposed(), view_of<double>(gram));
  const Eigen::SelfAdjointEigenSolver<Matrix<double>> solver(gram, Eigen::EigenvaluesOnly);  // reads the lower half
  if (!has_succeeded(solver)) throw PrecisionError("largest kappa: the norm of the subspaces could not be found");
  // Rounded down by more than the eigenvalue may be too small.
  const double rounding = static_cast<double>(bases.size()) * std::numeric_limits<double>::epsilon();
  const double root = scale.root() * size;
  return 2 / (solver.eigenvalues().maxCoeff() * (1 + rounding)) / root / root;
}

}  // namespace detail

template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases> Plain<ZDerived> compress(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                     const Subspaces<Bases>& subspaces,
                                                                     const CompressionOptions& options) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  if constexpr (is_bounded<ZDerived> && is_bounded<Bases>)
    if (!is_on_rate_reduction(options.step))
      return detail::compress_bounded(evaluated(tokens), subspaces.bases(), subspaces.heads(), options);
  return detail::compress_dynamic<typename ZDerived::Scalar>(tokens.derived(), subspaces.bases(), subspaces.heads(),
                                                             options);
}

template <class ZDerived, class Bases, class CotangentDerived>
requires detail::OneScalar<ZDerived, Bases, CotangentDerived> SubspaceGradient<Plain<ZDerived>, Plain<Bases>>
compress_adjoint(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                 const Eigen::MatrixBase<CotangentDerived>& cotangent, const CompressionOptions& options) {
  options.check();
  detail::check_tokens_and_subspaces(tokens, subspaces);
  check_shape("compression: cotangent", cotangent, tokens.rows(), tokens.cols());
  auto gradient = detail::compress_adjoint_dynamic<typename ZDerived::Scalar>(
      tokens.derived(), subspaces.bases(), subspaces.heads(), cotangent.derived(), options);
  return {std::move(gradient.tokens), std::move(gradient.bases)};
}

template <class Bases>
double largest_kappa(const Subspaces<Bases>& subspaces, Index tokens, double epsilon) {
  subspaces.check();
  detail::check_epsilon("largest kappa", epsilon);
  check_option(tokens >= 1, "largest kappa: tokens >= 1", tokens);
  return detail::largest_kappa_of(subspaces.bases().template cast<double>(), {subspaces.head_dim(), tokens, epsilon});
}

template <class Bases>
double largest_kappa(const Subspaces<Bases>& subspaces, Index tokens, const CompressionOptions& options) {
  const double of_compression = largest_kappa(subspaces, tokens, options.epsilon);
  const double b = rate_factor(subspaces.dim(), tokens, options.epsilon);
  if (options.step == CompressionStep::soft_partition) return 16 / (9 * b);
  if (options.step == CompressionStep::rate_reduction) return 1 / (1 / of_compression + b / 16);
  return of_compression;
}

}  // namespace crate
