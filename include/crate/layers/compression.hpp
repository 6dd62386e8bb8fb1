// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "crate/core/random.hpp"
#include "crate/kernels/attention.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/compression.hpp"

namespace crate {

/// Z - kappa grad R^c(Z | U_[K]), exact or approximated, or Z + kappa grad (R - R^c), for each token set on its own.
/// Padding neither counts nor changes. See operators/compression.hpp.
template <crate::Scalar S>
struct Compression {
  using Scalar = S;

  Subspaces<Matrix<S>> subspaces;  ///< U_[K], d x (K p)
  CompressionOptions options;

  struct Tape {
    Kept<S> tokens;      ///< Z: dL/dU is a product with it
    Kept<S> projected;   ///< W = U^T Z, at which the step's derivative is taken
    Kept<S> compressed;  ///< scale T(W): dL/dU is a product with it, too; not of a step on R - R^c
    Kept<S> attended;    ///< T(W) of the softmax step
    Kept<S> softmax;     ///< its terms, from which backward computes the probabilities again
  };

  /// Throws OptionError as CompressionOptions::check.
  explicit Compression(Subspaces<Matrix<S>> codebook, const CompressionOptions& compression_options = {})
      : subspaces(std::move(codebook)), options(compression_options) {
    options.check();
  }

  static constexpr auto parts() { return std::tuple{part("subspaces", &Compression::subspaces)}; }

  [[nodiscard]] Index input_dim() const { return subspaces.dim(); }
  [[nodiscard]] Index output_dim() const { return subspaces.dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    if (is_on_rate_reduction(options.step))
      return argument + (options.kappa < 0 ? " - kappa d(R - R^c)(" : " + kappa d(R - R^c)(") + argument + ")";
    return argument + (options.kappa < 0 ? " + kappa dR^c(" : " - kappa dR^c(") + argument + ")";
  }

  /// Two dense products; a head adds two of p x p by p x N, or compares all pairs of tokens in the softmax step. A step
  /// on the rate reduction adds two of m x m by m x n, m and n the smaller and the larger of d and N; that of the soft
  /// partition has the projection and these alone, for every subset.
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    const auto width = static_cast<double>(subspaces.bases().cols()), dim = static_cast<double>(subspaces.dim());
    const double projection = width * dim * static_cast<double>(layout.tokens());
    double heads = 0, whole = 0;
    for (Index s = 0; s < layout.sets(); ++s) {
      const auto length = static_cast<double>(layout.length(s));
      const bool softmax = options.step == CompressionStep::softmax;
      heads += 2 * width * length * (softmax ? length : static_cast<double>(subspaces.head_dim()));
      whole += 2 * dim * length * std::min(dim, length);
    }
    if (options.step == CompressionStep::soft_partition)
      return projection + static_cast<double>(subspaces.heads() + 1) * whole;
    return 2 * projection + heads + (options.step == CompressionStep::rate_reduction ? whole : 0);
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_sizes(z, out);
    Workspace::Frame frame(pass.workspace);
    auto projected = frame.template matrix<S>(width(), z.cols());
    project(z, projected, pass);
    if (is_on_rate_reduction(options.step)) {
      step_on_rate_reduction(z, projected, out, pass);
    } else if (options.step == CompressionStep::softmax) {
      auto attended = frame.template matrix<S>(width(), z.cols());
      detail::attend_heads<S>(instruction_set(), heads_of(projected, pass), false, detail::columns_of(attended),
                              pass.workspace, pass.threads);
      finish(z, attended, out, pass);
    } else {
      finish(z, projected, out, pass);
    }
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    check_sizes(z, out);
    auto projected = pass.keep(width(), z.cols());
    project(z, projected, pass);
    if (is_on_rate_reduction(options.step)) {
      tape = {z, projected, {}, {}, {}};
      return step_on_rate_reduction(z, projected, out, pass);
    }
    auto compressed = pass.keep(width(), z.cols());
    tape = {z, projected, compressed, {}, {}};
    if (options.step == CompressionStep::softmax) {
      auto attended = pass.keep(width(), z.cols());
      auto softmax = pass.keep(z.cols(), 2 * subspaces.heads());
      tape.attended = attended;
      tape.softmax = softmax;
      detail::attend_heads_recorded<S>(instruction_set(), heads_of(projected, pass), {}, detail::softmax_terms(softmax),
                                       detail::columns_of(attended), pass.workspace, pass.threads);
      compressed = attended;
    } else {
      compressed = projected;
    }
    finish(z, compressed, out, pass);
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, Compression& gradient,
                Pass<S>& pass) const {
    const auto z = tape.tokens.view(), projected = tape.projected.view(), compressed = tape.compressed.view();
    const Index heads = subspaces.heads();
    if (is_on_rate_reduction(options.step))
      return detail::rate_reduction_step_adjoint<S>(z, projected, subspaces.bases(), heads, pass.layout(), options,
                                                    out_cotangent, z_cotangent, gradient.subspaces.bases(),
                                                    pass.workspace, pass.threads);
    Workspace::Frame frame(pass.workspace);
    auto cotangent = frame.template matrix<S>(projected.rows(), projected.cols());
    auto projected_cotangent = frame.template matrix<S>(projected.rows(), projected.cols());
    multiply(subspaces.bases().transpose(), out_cotangent, cotangent, pass.threads);
    multiply_add(1, out_cotangent, compressed.transpose(), gradient.subspaces.bases(), pass.threads);
    detail::compress_projected_adjoint<S>(projected, compressed, heads, pass.layout(), options, cotangent,
                                          projected_cotangent, pass.threads);
    if (options.step == CompressionStep::softmax) {
      const auto attended = tape.attended.view(), softmax = tape.softmax.view();
      cotangent = projected_cotangent;
      detail::attend_heads_adjoint<S>(instruction_set(), heads_of(projected, pass), {}, detail::softmax_terms(softmax),
                                      detail::columns_of(attended), detail::columns_of(std::as_const(cotangent)),
                                      detail::columns_of(projected_cotangent), pass.workspace, pass.threads);
    }
    detail::keep_tokens<S>(out_cotangent, subspaces.head_dim(), pass.layout(), options, z_cotangent, pass.threads);
    multiply_add(1, subspaces.bases(), projected_cotangent, z_cotangent, pass.threads);
    multiply_add(1, z, projected_cotangent.transpose(), gradient.subspaces.bases(), pass.threads);
  }

  /// Uniform within 1 / sqrt(d).
  void initialise(Random& random) {
    const double bound = 1 / std::sqrt(static_cast<double>(subspaces.dim()));
    random.fill_uniform(subspaces.bases(), -bound, bound);
  }

 private:
  [[nodiscard]] Index width() const { return subspaces.bases().cols(); }

  /// W = U^T Z.
  template <class Projected>
  void project(ConstTokens<S> z, Projected& projected, Pass<S>& pass) const {
    multiply(subspaces.bases().transpose(), z, projected, pass.threads);
    pass.observe("projection", projected);
  }

  void step_on_rate_reduction(ConstTokens<S> z, ConstTokens<S> projected, Tokens<S> out, Pass<S>& pass) const {
    detail::rate_reduction_step<S>(z, projected, subspaces.bases(), subspaces.heads(), pass.layout(), options, out,
                                   pass.workspace, pass.threads);
  }

  /// Of the softmax step.
  template <class Projected>
  [[nodiscard]] auto heads_of(const Projected& projected, const Pass<S>& pass) const {
    return detail::attention_heads(projected, subspaces.heads(), pass.layout(), {.logit_scale = options.logit_scale});
  }

  void check_sizes(ConstTokens<S> z, ConstTokens<S> out) const {
    subspaces.check();
    check_size("compression: rows of the tokens", z.rows(), subspaces.dim());
    check_size("compression: rows of the output", out.rows(), subspaces.dim());
  }

  /// out = skip Z + U (scale T(W)), which takes the place of what compress_projected is given.
  void finish(ConstTokens<S> z, Tokens<S> h, Tokens<S> out, Pass<S>& pass) const {
    detail::compress_projected<S>(h, subspaces.heads(), pass.layout(), options, pass.threads);
    detail::keep_tokens<S>(z, subspaces.head_dim(), pass.layout(), options, out, pass.threads);
    multiply_add(1, subspaces.bases(), h, out, pass.threads);
  }
};

}  // namespace crate
