// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/pages.hpp"
#include "crate/core/random.hpp"
#include "crate/kernels/attention.hpp"
#include "crate/kernels/dropout.hpp"
#include "crate/layers/detail/attend_in_pass.hpp"
#include "crate/layers/detail/show_attention.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/subspace_attention.hpp"

namespace crate {

/// What brings the heads of MSSA together.
enum class MssaOutput {
  free,     ///< a linear map of its own, as published
  tied,     ///< [U_1 ... U_K], as derived
  identity  ///< nothing: the published form for a single head as wide as the tokens
};

/// What the published classifier and autoencoder have: a free output, but none for a single head as wide as the tokens.
[[nodiscard]] inline MssaOutput published_output(Index dim, Index heads, Index head_dim) {
  return heads == 1 && (head_dim == 0 || head_dim == dim) ? MssaOutput::identity : MssaOutput::free;
}

struct MssaOptions {
  Index dim = 0;       ///< d >= 1
  Index heads = 0;     ///< K >= 1
  Index head_dim = 0;  ///< p; 0 for d / K
  MssaOutput output = MssaOutput::free;
  bool output_bias = true;   ///< of a free output
  bool scale_logits = true;  ///< by 1 / sqrt(p), as published; the theory does not
  AttentionMask mask = AttentionMask::none;
  double rate_factor = 1;  ///< p / (N epsilon^2) in eq. (12); absorbed in the weights in practice
  double dropout = 0;      ///< of attention probabilities and of a free output, in [0, 1); in recorded passes alone

  [[nodiscard]] Index subspace_dim() const { return head_dim != 0 ? head_dim : dim / heads; }

  void check() const {
    check_option(dim >= 1, "MSSA: dim >= 1", dim);
    check_option(heads >= 1, "MSSA: heads >= 1", heads);
    check_option(head_dim >= 0, "MSSA: head_dim >= 0", head_dim);
    check_option(head_dim != 0 || dim % heads == 0, concatenate("MSSA: heads that divide dim = ", dim), heads);
    if (output == MssaOutput::identity)
      check_option(heads * subspace_dim() == dim,
                   concatenate("MSSA: heads * head_dim = dim = ", dim, " without an output"), heads * subspace_dim());
    check_option(std::isfinite(rate_factor), "a finite rate_factor of MSSA", rate_factor);
    check_dropout(dropout);
  }
};

/// MSSA(Z | U_[K]), multi-head subspace self-attention: rate_factor (W [SSA_1; ...; SSA_K] + b 1^T), or with U_[K] or
/// nothing in place of W, b. See operators/subspace_attention.hpp.
template <crate::Scalar S>
struct Mssa {
  using Scalar = S;

  Subspaces<Matrix<S>> subspaces;   ///< U_[K], d x (K p)
  std::optional<Linear<S>> output;  ///< W, d x (K p), and b, if the output is free
  MssaOutput output_kind;
  AttentionOptions attention;
  double dropout;

  struct Tape {
    Kept<S> tokens;           ///< Z: dL/dU is a product with it
    Kept<S> projected;        ///< H = U^T Z: queries, keys and values
    Kept<S> softmax;          ///< terms for every query and head, from which backward computes the probabilities again
    Kept<S> attended;         ///< [SSA_1; ...; SSA_K]: dL/dW is a product with it
    std::uint64_t place = 0;  ///< of the first of two dropouts, whose numbers backward draws again
  };

  /// All zero. Throws OptionError as MssaOptions::check.
  explicit Mssa(const MssaOptions& options)
      : subspaces(zero_bases(options), options.heads),
        output_kind(options.output),
        attention{.mask = options.mask, .rate_factor = options.rate_factor},
        dropout(options.dropout) {
    const Index p = options.subspace_dim();
    if (options.scale_logits) attention.logit_scale = 1 / std::sqrt(static_cast<double>(p));
    if (output_kind == MssaOutput::free) output.emplace(options.heads * p, options.dim, options.output_bias);
  }

  static constexpr auto parts() {
    return std::tuple{part("subspaces", &Mssa::subspaces), part("output", &Mssa::output)};
  }

  [[nodiscard]] Index input_dim() const { return subspaces.dim(); }
  [[nodiscard]] Index output_dim() const { return output ? output->output_dim() : subspaces.dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "MSSA(" + argument + ")"; }

  /// Projection and output are dense products; each head compares all pairs of tokens and averages over them. A causal
  /// mask is not deducted.
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    const auto width = static_cast<double>(subspaces.bases().cols());
    const double products = output_kind == MssaOutput::identity ? 1 : 2;
    return products * width * static_cast<double>(subspaces.dim()) * static_cast<double>(layout.tokens()) +
           2 * layout.pairs() * width;
  }

  /// U^T z, which is query, key and value. Throws OptionError without a causal mask, as then tokens see those that
  /// follow.
  void list_cached_rows(std::vector<Index>& rows) const {
    detail::check_goes_on(attention);
    rows.push_back(width());
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_sizes(z, out);
    Workspace::Frame frame(pass.workspace);
    auto projected = frame.template matrix<S>(width(), z.cols()),
         attended = frame.template matrix<S>(width(), z.cols());
    project(z, projected, pass);
    detail::attend_in_pass<S>(instruction_set(), heads_of(projected, pass), false, detail::columns_of(attended), pass);
    bring_together(attended, out, pass);
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    check_sizes(z, out);
    auto projected = pass.keep(width(), z.cols()), attended = pass.keep(width(), z.cols());
    auto softmax = pass.keep(z.cols(), 2 * subspaces.heads());
    tape = {z, projected, softmax, attended, pass.dropout.take_place()};
    project(z, projected, pass);
    detail::attend_heads_recorded<S>(instruction_set(), heads_of(projected, pass), attention_dropout(tape, pass),
                                     detail::softmax_terms(softmax), detail::columns_of(attended), pass.workspace,
                                     pass.threads);
    bring_together(attended, out, pass);
    drop_output(pass, pass.dropout.take_place(), out);
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, Mssa& gradient,
                Pass<S>& pass) const {
    const auto z = tape.tokens.view(), projected = tape.projected.view(), attended = tape.attended.view(),
               softmax = tape.softmax.view();
    Workspace::Frame frame(pass.workspace);
    auto cotangent = frame.template matrix<S>(out_cotangent.rows(), out_cotangent.cols());
    auto attended_cotangent = frame.template matrix<S>(width(), z.cols());
    auto projected_cotangent = frame.template matrix<S>(width(), z.cols());
    cotangent = static_cast<S>(attention.rate_factor) * out_cotangent;
    drop_output(pass, tape.place + 1, cotangent);
    separate(cotangent, attended, attended_cotangent, gradient, pass);
    detail::attend_heads_adjoint<S>(instruction_set(), heads_of(projected, pass), attention_dropout(tape, pass),
                                    detail::softmax_terms(softmax), detail::columns_of(attended),
                                    detail::columns_of(std::as_const(attended_cotangent)),
                                    detail::columns_of(projected_cotangent), pass.workspace, pass.threads);
    multiply_add(1, z, projected_cotangent.transpose(), gradient.subspaces.bases(), pass.threads);
    multiply(subspaces.bases(), projected_cotangent, z_cotangent, pass.threads);
  }

  /// U as PyTorch fills a linear map from d: uniform within 1 / sqrt(d).
  void initialise(Random& random) {
    const double bound = 1 / std::sqrt(static_cast<double>(subspaces.dim()));
    random.fill_uniform(subspaces.bases(), -bound, bound);
  }

 private:
  void check_sizes(ConstTokens<S> z, ConstTokens<S> out) const {
    subspaces.check();
    check_size("MSSA: rows of the tokens", z.rows(), subspaces.dim());
    check_size("MSSA: rows of the output", out.rows(), output_dim());
    if (output_kind == MssaOutput::identity)
      check_size("MSSA without output: heads * head_dim", subspaces.bases().cols(), out.rows());
    if (output_kind == MssaOutput::free && !output) throw ShapeError("MSSA: expected a free output map, found none");
  }

  [[nodiscard]] Index width() const { return subspaces.bases().cols(); }

  /// H = U^T Z.
  template <class Projected>
  void project(ConstTokens<S> z, Projected& projected, Pass<S>& pass) const {
    multiply(subspaces.bases().transpose(), z, projected, pass.threads);
    pass.observe("projection", projected);
    if (pass.shows_attention()) show_attention(projected, pass);
  }

  template <class Projected>
  void show_attention(const Projected& projected, Pass<S>& pass) const {
    const Index p = subspaces.head_dim();
    detail::show_attention(pass, subspaces.heads(), attention,
                           [&](Index k, Index begin, Index length, const auto& of_set) {
                             return attention_probabilities(projected.block(k * p, begin, p, length), of_set);
                           });
  }

  template <class Projected>
  [[nodiscard]] auto heads_of(const Projected& projected, const Pass<S>& pass) const {
    return detail::attention_heads(projected, subspaces.heads(), pass.layout(), attention);
  }

  /// out = rate_factor (W O + b), rate_factor U O or rate_factor O of the attended heads O.
  void bring_together(ConstTokens<S> attended, Tokens<S> out, Pass<S>& pass) const {
    if (output_kind == MssaOutput::identity)
      out = attended;
    else if (output)
      output->forward(attended, out, pass);
    else
      multiply(subspaces.bases(), attended, out, pass.threads);
    if (attention.rate_factor != 1) out *= static_cast<S>(attention.rate_factor);
  }

  /// The adjoint of bring_together but for its factor: dL/dO of the cotangent, and what of it belongs to W and b, or to
  /// U.
  void separate(ConstTokens<S> cotangent, ConstTokens<S> attended, Tokens<S> attended_cotangent, Mssa& gradient,
                Pass<S>& pass) const {
    if (output_kind == MssaOutput::identity) {
      attended_cotangent = cotangent;
    } else if (output) {
      output->backward(cotangent, {attended}, attended_cotangent, *gradient.output, pass);
    } else {
      multiply(subspaces.bases().transpose(), cotangent, attended_cotangent, pass.threads);
      multiply_add(1, cotangent, attended.transpose(), gradient.subspaces.bases(), pass.threads);
    }
  }

  [[nodiscard]] detail::AttentionDropout attention_dropout(const Tape& tape, const Pass<S>& pass) const {
    check_dropout(dropout);
    return {dropout, pass.dropout, tape.place};
  }

  void drop_output(const Pass<S>& pass, std::uint64_t place, Tokens<S> out) const {
    if (output) detail::drop_sets(pass.layout(), dropout, pass.dropout, place, out, pass.threads);
  }

  static Matrix<S> zero_bases(const MssaOptions& options) {
    options.check();
    Matrix<S> bases;
    set_zero(bases, options.dim, options.heads * options.subspace_dim());
    return bases;
  }
};

}  // namespace crate
