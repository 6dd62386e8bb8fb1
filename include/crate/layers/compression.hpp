// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "crate/core/random.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/compression.hpp"

namespace crate {

/// Z - kappa grad R^c(Z | U_[K]), exact or approximated, for each token set on its own. Padding
/// neither counts nor changes. See operators/compression.hpp.
template <crate::Scalar S>
struct Compression {
  using Scalar = S;

  Subspaces<Matrix<S>> subspaces;  ///< U_[K], d x (K p)
  CompressionOptions options;

  /// Throws OptionError as CompressionOptions::check.
  explicit Compression(Subspaces<Matrix<S>> codebook, const CompressionOptions& compression_options = {})
      : subspaces(std::move(codebook)), options(compression_options) {
    options.check();
  }

  static constexpr auto parts() { return std::tuple{part("subspaces", &Compression::subspaces)}; }

  [[nodiscard]] Index input_dim() const { return subspaces.dim(); }
  [[nodiscard]] Index output_dim() const { return subspaces.dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return argument + (options.kappa < 0 ? " + kappa dR^c(" : " - kappa dR^c(") + argument + ")";
  }

  /// Two dense products; a head adds two of p x p by p x N, or compares all pairs of tokens in the softmax step.
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    const auto width = static_cast<double>(subspaces.bases().cols());
    double total = 2 * width * static_cast<double>(subspaces.dim()) * static_cast<double>(layout.tokens());
    for (Index s = 0; s < layout.sets(); ++s) {
      const auto length = static_cast<double>(layout.length(s));
      const bool softmax = options.step == CompressionStep::softmax;
      total += 2 * width * length * (softmax ? length : static_cast<double>(subspaces.head_dim()));
    }
    return total;
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    subspaces.check();
    check_size("compression: rows of the tokens", z.rows(), subspaces.dim());
    check_size("compression: rows of the output", out.rows(), subspaces.dim());
    Workspace::Frame frame(pass.workspace);
    auto projected = frame.template matrix<S>(subspaces.bases().cols(), z.cols());
    multiply(subspaces.bases().transpose(), z, projected, pass.threads);
    pass.observe("projection", projected);
    detail::compress_projected(projected, subspaces.heads(), pass.layout, options, frame, pass.threads);
    detail::keep_tokens(z, subspaces.head_dim(), pass.layout, options, out, pass.threads);
    multiply_add(1, subspaces.bases(), projected, out, pass.threads);
  }

  /// Uniform within 1 / sqrt(d).
  void initialise(Random& random) {
    const double bound = 1 / std::sqrt(static_cast<double>(subspaces.dim()));
    random.fill_uniform(subspaces.bases(), -bound, bound);
  }
};

}  // namespace crate
