// SPDX-License-Identifier: MIT
// The bodies of subspace_attention.hpp: bounded sizes by Eigen, others by the kernels.

namespace crate {

namespace detail {

/// scale A B.
template <class A, class B>
[[nodiscard]] auto scaled_product(double scale, const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b) {
  Plain<decltype(a * b)> product(a.rows(), b.cols());
  Threads alone;
  multiply(a, b, product, {.scale = static_cast<typename A::Scalar>(scale)}, alone);
  return product;
}

/// Heads with these options, as kernels see them; the sets say which tokens are visible.
template <crate::Scalar S>
[[nodiscard]] AttentionHeads<S> attention_heads(Columns<const S> queries, Columns<const S> keys,
                                                Columns<const S> values, Index heads, Index head_dim,
                                                const TokenLayout& layout, const AttentionOptions& options) {
  return AttentionHeads<S>{.queries = queries,
                           .keys = keys,
                           .values = values,
                           .count = heads,
                           .dim = head_dim,
                           .layout = layout,
                           .causal = options.mask == AttentionMask::causal,
                           .scale = static_cast<S>(options.logit_scale)};
}

/// The heads of H, which is queries, keys and values.
template <class T>
[[nodiscard]] auto attention_heads(Columns<T> h, Index heads, Index head_dim, const TokenLayout& layout,
                                   const AttentionOptions& options) {
  using S = std::remove_const_t<T>;
  const Columns<const S> all{h.first, h.stride};
  return attention_heads<S>(all, all, all, heads, head_dim, layout, options);
}

/// Those of the projected tokens H, (K p) x (total tokens).
template <class H>
[[nodiscard]] auto attention_heads(const H& projected, Index heads, const TokenLayout& layout,
                                   const AttentionOptions& options) {
  return attention_heads(columns_of(projected), heads, projected.rows() / heads, layout, options);
}

/// One set of so many tokens, of which the options say how many are visible.
[[nodiscard]] inline TokenLayout layout_of(Index tokens, const AttentionOptions& options) {
  const TokenLayout layout = TokenLayout::single(tokens);
  return options.visible == -1 ? layout : layout.with_visible({options.visible});
}

/// subspace_attention of sizes that are known at run time.
template <crate::Scalar S>
[[nodiscard]] Matrix<S> subspace_attention_dynamic(ConstTokens<S> h, Index heads, const AttentionOptions& options) {
  const TokenLayout layout = layout_of(h.cols(), options);
  Matrix<S> result(h.rows(), h.cols());
  Workspace workspace;
  Threads alone;
  attend_heads<S>(instruction_set(), attention_heads(h, heads, layout, options), false, columns_of(result), workspace,
                  alone);
  return result;
}

/// subspace_attention_adjoint of any sizes.
template <crate::Scalar S>
[[nodiscard]] Matrix<S> subspace_attention_adjoint_dynamic(ConstTokens<S> h, Index heads, ConstTokens<S> cotangent,
                                                           const AttentionOptions& options) {
  const TokenLayout layout = layout_of(h.cols(), options);
  const AttentionHeads<S> attention = attention_heads(h, heads, layout, options);
  Matrix<S> softmax(h.cols(), 2 * heads), result(h.rows(), h.cols()), h_cotangent(h.rows(), h.cols());
  Workspace workspace;
  Threads alone;
  attend_heads_recorded<S>(instruction_set(), attention, {}, softmax_terms(softmax), columns_of(result), workspace,
                           alone);
  attend_heads_adjoint<S>(instruction_set(), attention, {}, softmax_terms(std::as_const(softmax)),
                          columns_of(std::as_const(result)), columns_of(cotangent), columns_of(h_cotangent), workspace,
                          alone);
  return h_cotangent;
}

/// How many of at most so many queries are taken at a time: as many as let their scores lie on the stack.
template <crate::Scalar S, int tokens>
inline constexpr Index bounded_query_block = EIGEN_STACK_ALLOCATION_LIMIT == 0
                                                 ? query_block
                                                 : std::clamp<Index>(EIGEN_STACK_ALLOCATION_LIMIT /
                                                                         (Index{sizeof(S)} * std::max(tokens, 1)),
                                                                     1, query_block);

/// How many keys the queries first, ..., first + n - 1 of a set of `tokens` see, all together.
inline Index seen_keys(const AttentionOptions& options, Index tokens, Index first, Index n) {
  const Index visible = options.visible == -1 ? tokens : options.visible;
  return seen_keys(options.mask == AttentionMask::causal, visible, first, n);
}

/// scores = softmax(logit_scale H^T Q) for the n queries Q = H[:, first ... first + n - 1], over the keys that each
/// sees; `scores` is keys x n, 0 for those that it does not.
template <class H, class Scores>
void attention_probabilities_into(const H& h, Index first, const AttentionOptions& options, Scores&& scores) {
  const Index keys = scores.rows();
  scores.noalias() = h.leftCols(keys).transpose() * h.middleCols(first, scores.cols());
  scores *= static_cast<typename H::Scalar>(options.logit_scale);
  for (Index j = 0; j < scores.cols(); ++j) {
    const Index seen = seen_keys(options, h.cols(), first + j, 1);
    softmax_columns_in_place(scores.col(j).head(seen));
    scores.col(j).tail(keys - seen).setZero();
  }
}

/// out = H softmax(logit_scale H^T Q) for the queries, p x n. `room` is for (number of keys) x n scores.
template <class H, class Room, class Out>
void attend_queries(const H& h, Index first, const AttentionOptions& options, Room& room, Out&& out) {
  const Index keys = seen_keys(options, h.cols(), first, out.cols());
  auto scores = room.topLeftCorner(keys, out.cols());
  attention_probabilities_into(h, first, options, scores);
  out.noalias() = h.leftCols(keys) * scores;
}

/// subspace_attention of bounded sizes.
template <class H>
[[nodiscard]] Plain<H> subspace_attention_bounded(const H& h, Index heads, const AttentionOptions& options) {
  using S = typename H::Scalar;
  constexpr int bound = H::MaxColsAtCompileTime;
  constexpr Index block = bounded_query_block<S, bound>;
  const Index p = h.rows() / heads, tokens = h.cols();
  Plain<H> result(h.rows(), tokens);
  Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, 0, bound, std::min<int>(block, bound)> scores(
      tokens, std::min(block, tokens));
  for (Index k = 0; k < heads; ++k)
    for (Index first = 0; first < tokens; first += block)
      attend_queries(h.middleRows(k * p, p), first, options, scores,
                     result.block(k * p, first, p, std::min(block, tokens - first)));
  return result;
}

/// Throws ShapeError unless heads divides the rows of projected tokens.
template <class HDerived>
void check_heads(const Eigen::MatrixBase<HDerived>& projected, Index heads) {
  check_not_empty("subspace attention: projected tokens", projected);
  static_cast<void>(projected_head_dim("subspace attention", projected.rows(), heads));
}

}  // namespace detail

template <class HDerived>
requires detail::OneScalar<HDerived> Matrix<typename HDerived::Scalar> attention_probabilities(
    const Eigen::MatrixBase<HDerived>& head, const AttentionOptions& options) {
  detail::check_heads(head, 1);
  options.check(head.cols());
  Matrix<typename HDerived::Scalar> probabilities(head.cols(), head.cols());
  detail::attention_probabilities_into(evaluated(head), 0, options, probabilities);
  return probabilities;
}

template <class HDerived>
requires detail::OneScalar<HDerived> Plain<HDerived> subspace_attention(const Eigen::MatrixBase<HDerived>& projected,
                                                                        Index heads, const AttentionOptions& options) {
  detail::check_heads(projected, heads);
  options.check(projected.cols());
  if constexpr (is_bounded<HDerived>)
    return detail::subspace_attention_bounded(evaluated(projected), heads, options);
  else
    return detail::subspace_attention_dynamic<typename HDerived::Scalar>(projected.derived(), heads, options);
}

template <class HDerived, class CotangentDerived>
requires detail::OneScalar<HDerived, CotangentDerived> Plain<HDerived> subspace_attention_adjoint(
    const Eigen::MatrixBase<HDerived>& projected, Index heads, const Eigen::MatrixBase<CotangentDerived>& cotangent,
    const AttentionOptions& options) {
  detail::check_heads(projected, heads);
  options.check(projected.cols());
  check_shape("subspace attention: cotangent", cotangent, projected.rows(), projected.cols());
  return detail::subspace_attention_adjoint_dynamic<typename HDerived::Scalar>(projected.derived(), heads,
                                                                               cotangent.derived(), options);
}

template <class ZDerived, class BasisDerived>
requires detail::OneScalar<ZDerived, BasisDerived>
auto ssa(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<BasisDerived>& basis,
         const AttentionOptions& options) {
  check_size("SSA: rows of the basis", basis.rows(), tokens.rows());
  return subspace_attention(detail::scaled_product(1, basis.transpose(), tokens), 1, options);
}

template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases> Plain<ZDerived> mssa(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                 const Subspaces<Bases>& subspaces,
                                                                 const AttentionOptions& options) {
  subspaces.check();
  check_size("MSSA: dimension of the subspaces", subspaces.dim(), tokens.rows());
  const auto& u = subspaces.bases();
  const auto heads = subspace_attention(detail::scaled_product(1, u.transpose(), tokens), subspaces.heads(), options);
  return detail::scaled_product(options.rate_factor, u, heads);
}

template <class ZDerived, class Bases, class WDerived, class BDerived>
requires detail::OneScalar<ZDerived, Bases, WDerived, BDerived>
auto mssa(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
          const Eigen::MatrixBase<WDerived>& output_weight, const Eigen::MatrixBase<BDerived>& output_bias,
          const AttentionOptions& options) {
  subspaces.check();
  check_size("MSSA: dimension of the subspaces", subspaces.dim(), tokens.rows());
  check_size("MSSA: columns of the output weight", output_weight.cols(), subspaces.bases().cols());
  check_shape("MSSA: output bias", output_bias, output_weight.rows(), 1);
  const auto heads =
      subspace_attention(detail::scaled_product(1, subspaces.bases().transpose(), tokens), subspaces.heads(), options);
  auto result = detail::scaled_product(options.rate_factor, output_weight, heads);
  result.colwise() += static_cast<typename ZDerived::Scalar>(options.rate_factor) * output_bias.derived().col(0);
  return result;
}

template <class ZDerived, class Bases, class CotangentDerived>
requires detail::OneScalar<ZDerived, Bases, CotangentDerived> SubspaceGradient<Plain<ZDerived>, Plain<Bases>>
mssa_adjoint(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
             const Eigen::MatrixBase<CotangentDerived>& cotangent, const AttentionOptions& options) {
  subspaces.check();
  check_size("MSSA: dimension of the subspaces", subspaces.dim(), tokens.rows());
  check_shape("MSSA: cotangent", cotangent, tokens.rows(), tokens.cols());
  const auto& z = detail::viewable(tokens);
  const auto& c = detail::viewable(cotangent);
  const auto& u = subspaces.bases();
  const auto h = detail::scaled_product(1, u.transpose(), z);
  const auto heads = subspace_attention(h, subspaces.heads(), options);
  const auto heads_cotangent = detail::scaled_product(options.rate_factor, u.transpose(), c);
  const auto h_cotangent = subspace_attention_adjoint(h, subspaces.heads(), heads_cotangent, options);
  Plain<Bases> bases = detail::scaled_product(1, z, h_cotangent.transpose());
  Threads alone;
  multiply_add(options.rate_factor, c, heads.transpose(), bases, alone);
  return {detail::scaled_product(1, u, h_cotangent), std::move(bases)};
}

template <class ZDerived, class Bases, class WDerived, class CotangentDerived>
requires detail::OneScalar<ZDerived, Bases, WDerived, CotangentDerived>
auto mssa_adjoint(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                  const Eigen::MatrixBase<WDerived>& output_weight,
                  const Eigen::MatrixBase<CotangentDerived>& cotangent, const AttentionOptions& options) {
  using S = typename ZDerived::Scalar;
  subspaces.check();
  check_size("MSSA: dimension of the subspaces", subspaces.dim(), tokens.rows());
  check_size("MSSA: columns of the output weight", output_weight.cols(), subspaces.bases().cols());
  check_shape("MSSA: cotangent", cotangent, output_weight.rows(), tokens.cols());
  const double f = options.rate_factor;
  const auto& z = detail::viewable(tokens);
  const auto& c = detail::viewable(cotangent);
  const auto& u = subspaces.bases();
  const auto h = detail::scaled_product(1, u.transpose(), z);
  const auto heads = subspace_attention(h, subspaces.heads(), options);
  const auto heads_cotangent = detail::scaled_product(f, output_weight.transpose(), c);
  const auto h_cotangent = subspace_attention_adjoint(h, subspaces.heads(), heads_cotangent, options);
  return MssaGradient<Plain<ZDerived>, Plain<Bases>, Plain<WDerived>, Vector<S>>{
      detail::scaled_product(1, u, h_cotangent), detail::scaled_product(1, z, h_cotangent.transpose()),
      detail::scaled_product(f, c, heads.transpose()), static_cast<S>(f) * c.rowwise().sum()};
}

}  // namespace crate
