// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <tuple>

#include "crate/core/random.hpp"
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

  [[nodiscard]] Index subspace_dim() const { return head_dim != 0 ? head_dim : dim / heads; }

  void check() const {
    check_option(dim >= 1, "MSSA: dim >= 1", dim);
    check_option(heads >= 1, "MSSA: heads >= 1", heads);
    check_option(head_dim >= 0, "MSSA: head_dim >= 0", head_dim);
    check_option(head_dim != 0 || dim % heads == 0, concatenate("MSSA: heads that divide dim = ", dim), heads);
    if (output == MssaOutput::identity)
      check_option(heads * subspace_dim() == dim,
                   concatenate("MSSA: heads * head_dim = dim = ", dim, " without an output"), heads * subspace_dim());
  }
};

/// MSSA(Z | U_[K]): multi-head subspace self-attention. See operators/subspace_attention.hpp.
template <crate::Scalar S>
struct Mssa {
  using Scalar = S;

  Subspaces<Matrix<S>> subspaces;   ///< U_[K], d x (K p)
  std::optional<Linear<S>> output;  ///< W, d x (K p), and b, if the output is free
  MssaOutput output_kind;
  AttentionOptions attention;

  /// All zero. Throws OptionError as MssaOptions::check.
  explicit Mssa(const MssaOptions& options)
      : subspaces(zero_bases(options), options.heads),
        output_kind(options.output),
        attention{.mask = options.mask, .rate_factor = options.rate_factor} {
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

  /// Projection and output are dense products; each head compares all pairs of tokens and averages over them. A causal mask
  /// is not deducted.
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    const auto width = static_cast<double>(subspaces.bases().cols());
    const double products = output_kind == MssaOutput::identity ? 1 : 2;
    double total = products * width * static_cast<double>(subspaces.dim()) * static_cast<double>(layout.tokens());
    for (Index s = 0; s < layout.sets(); ++s) {
      const auto length = static_cast<double>(layout.length(s));
      total += 2 * length * length * width;
    }
    return total;
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    subspaces.check();
    check_size("MSSA: rows of the tokens", z.rows(), subspaces.dim());
    check_size("MSSA: rows of the output", out.rows(), output_dim());
    Workspace::Frame frame(pass.workspace);
    const Index width = subspaces.bases().cols();
    auto projected = frame.template matrix<S>(width, z.cols());
    multiply(subspaces.bases().transpose(), z, projected, pass.threads);
    pass.observe("projection", projected);
    auto scores =
        frame.template matrix<S>(detail::score_rows(pass.layout), detail::score_columns(pass.layout, pass.threads));
    auto attended = frame.template matrix<S>(width, z.cols());
    detail::attend_all(projected, subspaces.heads(), pass.layout, attention, scores, attended, pass.threads);
    if (output_kind == MssaOutput::identity) {
      check_size("MSSA without output: heads * head_dim", width, out.rows());
      out = attended;
    } else if (output)
      output->forward(attended, out, pass);
    else
      multiply(subspaces.bases(), attended, out, pass.threads);
    if (attention.rate_factor != 1) out *= static_cast<S>(attention.rate_factor);
  }

  /// U as PyTorch fills a linear map from d: uniform within 1 / sqrt(d).
  void initialise(Random& random) {
    const double bound = 1 / std::sqrt(static_cast<double>(subspaces.dim()));
    random.fill_uniform(subspaces.bases(), -bound, bound);
  }

 private:
  static Matrix<S> zero_bases(const MssaOptions& options) {
    options.check();
    return Matrix<S>::Zero(options.dim, options.heads * options.subspace_dim());
  }
};

}  // namespace crate
