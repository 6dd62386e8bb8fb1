// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/dropout.hpp"
#include "crate/core/errors.hpp"
#include "crate/kernels/attention.hpp"
#include "crate/kernels/dropout.hpp"
#include "crate/layers/detail/attend_in_pass.hpp"
#include "crate/layers/detail/show_attention.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/attention.hpp"

namespace crate {

struct SelfAttentionOptions {
  Index dim = 0;    ///< d >= 1
  Index heads = 0;  ///< K >= 1, a divisor of d
  AttentionMask mask = AttentionMask::none;
  double dropout = 0;  ///< of attention probabilities and of the output, in [0, 1); in recorded passes alone

  [[nodiscard]] Index head_dim() const { return dim / heads; }  ///< p

  void check() const {
    check_option(dim >= 1, "self-attention: dim >= 1", dim);
    check_option(heads >= 1 && dim % heads == 0, concatenate("self-attention: heads that divide dim = ", dim), heads);
    check_dropout(dropout);
  }
};

/// W [A_1; ...; A_K] + b, A_k = V_k softmax(K_k^T Q_k / sqrt(p)), where [Q; K; V] = W_p Z + b_p: attention among the
/// tokens of each set. See operators/attention.hpp.
template <crate::Scalar S>
struct SelfAttention {
  using Scalar = S;

  Linear<S> projection;  ///< W_p, 3 d x d: queries, keys and values, each head after head
  Linear<S> output;      ///< W, d x d
  Index heads;           ///< K
  AttentionOptions attention;
  double dropout;

  struct Tape {
    Kept<S> tokens;           ///< Z: dL/dW_p is a product with it
    Kept<S> projected;        ///< [Q; K; V]
    Kept<S> softmax;          ///< terms for every query and head, from which backward computes the probabilities again
    Kept<S> attended;         ///< [A_1; ...; A_K]: dL/dW is a product with it
    std::uint64_t place = 0;  ///< of the first of two dropouts, whose numbers backward draws again
  };

  /// All zero. Throws OptionError as SelfAttentionOptions::check.
  explicit SelfAttention(const SelfAttentionOptions& options)
      : projection(checked(options).dim, 3 * options.dim),
        output(options.dim, options.dim),
        heads(options.heads),
        attention{.mask = options.mask, .logit_scale = 1 / std::sqrt(static_cast<double>(options.head_dim()))},
        dropout(options.dropout) {}

  static constexpr auto parts() {
    return std::tuple{part("projection", &SelfAttention::projection), part("output", &SelfAttention::output)};
  }

  [[nodiscard]] Index input_dim() const { return projection.input_dim(); }
  [[nodiscard]] Index output_dim() const { return output.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "attention(" + argument + ")"; }

  /// Projection and output are dense products; each head compares all pairs of tokens and averages over them. A causal
  /// mask is not deducted.
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return projection.multiply_adds(layout) + output.multiply_adds(layout) +
           2 * layout.pairs() * static_cast<double>(width());
  }

  /// Keys and values. Throws OptionError without a causal mask, as then tokens see those that follow.
  void list_cached_rows(std::vector<Index>& rows) const {
    detail::check_goes_on(attention);
    rows.push_back(2 * width());
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_sizes(out);
    Workspace::Frame frame(pass.workspace);
    auto projected = frame.template matrix<S>(3 * width(), z.cols()),
         attended = frame.template matrix<S>(width(), z.cols());
    project(z, projected, pass);
    detail::attend_in_pass<S>(instruction_set(), heads_of(projected, pass), false, detail::columns_of(attended), pass);
    output.forward(attended, out, pass);
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    check_sizes(out);
    auto projected = pass.keep(3 * width(), z.cols()), attended = pass.keep(width(), z.cols());
    auto softmax = pass.keep(z.cols(), 2 * heads);
    tape = {z, projected, softmax, attended, pass.dropout.take_place()};
    project(z, projected, pass);
    detail::attend_heads_recorded<S>(instruction_set(), heads_of(projected, pass), attention_dropout(tape, pass),
                                     detail::softmax_terms(softmax), detail::columns_of(attended), pass.workspace,
                                     pass.threads);
    output.forward(attended, out, pass);
    detail::drop_sets(pass.layout(), dropout, pass.dropout, pass.dropout.take_place(), out, pass.threads);
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, SelfAttention& gradient,
                Pass<S>& pass) const {
    const auto projected = tape.projected.view(), attended = tape.attended.view(), softmax = tape.softmax.view();
    Workspace::Frame frame(pass.workspace);
    auto cotangent = frame.template matrix<S>(out_cotangent.rows(), out_cotangent.cols());
    auto attended_cotangent = frame.template matrix<S>(attended.rows(), attended.cols());
    auto projected_cotangent = frame.template matrix<S>(projected.rows(), projected.cols());
    cotangent = out_cotangent;
    detail::drop_sets(pass.layout(), dropout, pass.dropout, tape.place + 1, cotangent, pass.threads);
    output.backward(cotangent, {tape.attended}, attended_cotangent, gradient.output, pass);
    auto q = third(projected_cotangent, 0), k = third(projected_cotangent, 1), v = third(projected_cotangent, 2);
    detail::attend_heads_adjoint<S>(
        instruction_set(), heads_of(projected, pass), attention_dropout(tape, pass), detail::softmax_terms(softmax),
        detail::columns_of(attended), detail::columns_of(std::as_const(attended_cotangent)),
        detail::AttentionCotangents<S>{detail::columns_of(q), detail::columns_of(k), detail::columns_of(v)},
        pass.workspace, pass.threads);
    projection.backward(projected_cotangent, {tape.tokens}, z_cotangent, gradient.projection, pass);
  }

 private:
  [[nodiscard]] Index width() const { return output.input_dim(); }

  void check_sizes(ConstTokens<S> out) const {
    check_size("self-attention: rows of the output", out.rows(), output_dim());
    check_size("self-attention: rows of queries, keys and values", projection.output_dim(), 3 * width());
  }

  /// Queries, keys or values, in this order.
  template <class Projected>
  [[nodiscard]] auto third(Projected& projected, Index part) const {
    return projected.middleRows(part * width(), width());
  }

  /// [Q; K; V] = W_p Z + b_p.
  template <class Projected>
  void project(ConstTokens<S> z, Projected& projected, Pass<S>& pass) const {
    projection.forward(z, projected, pass);
    pass.observe("projection", projected);
    if (pass.shows_attention()) show_attention(projected, pass);
  }

  template <class Projected>
  void show_attention(const Projected& projected, Pass<S>& pass) const {
    const Index p = width() / heads;
    detail::show_attention(pass, heads, attention, [&](Index k, Index begin, Index length, const auto& of_set) {
      return attention_probabilities(projected.block(k * p, begin, p, length),
                                     projected.block(width() + k * p, begin, p, length), of_set);
    });
  }

  template <class Projected>
  [[nodiscard]] auto heads_of(const Projected& projected, const Pass<S>& pass) const {
    const auto q = third(projected, 0), k = third(projected, 1), v = third(projected, 2);
    return detail::attention_heads(q, k, v, heads, pass.layout(), attention);
  }

  [[nodiscard]] detail::AttentionDropout attention_dropout(const Tape& tape, const Pass<S>& pass) const {
    check_dropout(dropout);
    return {dropout, pass.dropout, tape.place};
  }

  static const SelfAttentionOptions& checked(const SelfAttentionOptions& options) {
    options.check();
    return options;
  }
};

}  // namespace crate
