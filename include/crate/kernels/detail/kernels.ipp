// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// What the other floors call of this instruction set; see with_kernels.
struct Kernels {
  /// Whether Arithmetic<bfloat16> exists, for instruction sets that multiply these.
  static constexpr bool has_bfloat16 = CRATE_TARGET_BYTES == 64;

  template <class W>
  using Arithmetic = CRATE_TARGET::Arithmetic<W>;
  template <class A>
  using Tiles = CRATE_TARGET::Tiles<A>;

  template <class A, class... Arguments>
  static void multiply_panel(const Arguments&... arguments) {
    CRATE_TARGET::multiply_panel<A>(arguments...);
  }
  template <class A, class... Arguments>
  static void multiply_panel_by_steps(const Arguments&... arguments) {
    CRATE_TARGET::multiply_panel_by_steps<A>(arguments...);
  }
  template <class... Arguments>
  static void multiply_panel_widening(const Arguments&... arguments) {
    CRATE_TARGET::multiply_panel_widening(arguments...);
  }
  template <class S>
  static void pack_panel_of(MatrixView<const S> a, Index width, S* panel) {
    CRATE_TARGET::pack_panel_of<S>(a, width, panel);
  }
  template <class S>
  static void transpose_into(const S* from, Index from_stride, Index rows, Index cols, S* to, Index to_stride) {
    CRATE_TARGET::transpose_into<S>(from, from_stride, rows, cols, to, to_stride);
  }
  template <class Value, class S, class Out>
  static void attend_heads(const AttentionHeads<S>& heads, bool first_tokens, const AttentionDropout& dropout,
                           SoftmaxTerms<S> softmax, Columns<Out> out, Workspace& workspace, Threads& threads) {
    CRATE_TARGET::attend_heads<Value>(heads, first_tokens, dropout, softmax, out, workspace, threads);
  }
  template <class S, class Out>
  static void attend_cached(const CachedHeads<S>& heads, Columns<Out> out, Workspace& workspace, Threads& threads) {
    CRATE_TARGET::attend_cached(heads, out, workspace, threads);
  }
  template <class S>
  static void attend_heads_adjoint(const AttentionHeads<S>& heads, const AttentionDropout& dropout,
                                   SoftmaxTerms<const S> softmax, Columns<const S> out, Columns<const S> out_cotangent,
                                   Columns<S> h_cotangent, Workspace& workspace, Threads& threads) {
    CRATE_TARGET::attend_heads_adjoint(heads, dropout, softmax, out, out_cotangent, h_cotangent, workspace, threads);
  }
  template <class S>
  static void attend_heads_adjoint(const AttentionHeads<S>& heads, const AttentionDropout& dropout,
                                   SoftmaxTerms<const S> softmax, Columns<const S> out, Columns<const S> out_cotangent,
                                   const AttentionCotangents<S>& cotangents, Workspace& workspace, Threads& threads) {
    CRATE_TARGET::attend_heads_adjoint(heads, dropout, softmax, out, out_cotangent, cotangents, workspace, threads);
  }
  template <class S>
  static auto exponentials_in_place(S* scores, Index seen, Index keys, S scale) {
    return CRATE_TARGET::exponentials_in_place<S>(scores, seen, keys, scale);
  }
  template <class S>
  [[nodiscard]] static Index attention_numbers(Index head_dim, const TokenLayout& layout) {
    return CRATE_TARGET::numbers_of_worker<S>(head_dim, layout);
  }
  template <class S>
  static void inverse_deviations_into(Columns<const S> z, Index dim, Index cols, double epsilon, S* result,
                                      Threads& threads) {
    CRATE_TARGET::inverse_deviations_into<S>(z, dim, cols, epsilon, result, threads);
  }
  template <class Out>
  static void normalise_tokens_into(Columns<const float> z, Index dim, Index cols, std::optional<double> norm_epsilon,
                                    Columns<Out> out, Threads& threads) {
    CRATE_TARGET::normalise_tokens_into<Out>(z, dim, cols, norm_epsilon, out, threads);
  }
  template <class S, class... Arguments>
  static void gelu_into(Columns<const S> z, Arguments&&... arguments) {
    CRATE_TARGET::gelu_into<S>(z, std::forward<Arguments>(arguments)...);
  }
  template <class S, class... Arguments>
  static void gelu_adjoint_into(Columns<const S> z, Arguments&&... arguments) {
    CRATE_TARGET::gelu_adjoint_into<S>(z, std::forward<Arguments>(arguments)...);
  }
  template <class S>
  static void drop_columns(const DropoutDraws& draws, double probability, Index rows, Index first, Index count,
                           Columns<S> matrix) {
    CRATE_TARGET::drop_columns<S>(draws, probability, rows, first, count, matrix);
  }
  template <class S, class... Arguments>
  static void layer_norm_into(Columns<const S> z, Arguments&&... arguments) {
    CRATE_TARGET::layer_norm_into<S>(z, std::forward<Arguments>(arguments)...);
  }
  template <class S, class... Arguments>
  static void layer_norm_adjoint_into(Columns<const S> z, Arguments&&... arguments) {
    CRATE_TARGET::layer_norm_adjoint_into<S>(z, std::forward<Arguments>(arguments)...);
  }
  template <class S>
  [[nodiscard]] static bool factor_columns(Columns<S> m, Index size, Index first, Index count, S* excess) {
    return CRATE_TARGET::factor_columns<S>(m, size, first, count, excess);
  }
};

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
