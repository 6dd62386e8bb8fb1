// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "crate/inference/folded_chain.hpp"
#include "crate/inference/folded_linear.hpp"
#include "crate/layers/ista.hpp"
#include "crate/layers/layer_norm.hpp"

namespace crate {

/// prox(x + (A - I) x + c), x = LN(z): an ISTA step of one product, in which the tokens themselves pass unrounded, and
/// only what the step adds to them is computed from rounded numbers.
template <FoldedWeight W>
class FoldedIsta {
 public:
  using Scalar = ScalarOf<W>;
  static constexpr bool is_tokenwise = true;

  /// With the map A x + c, and the proximal operator of level ||x||_1.
  FoldedIsta(LayerNorm<Scalar> norm, AffineMap map, Threshold threshold, double level)
      : norm_(std::move(norm)), step_(with_threshold<W>(nullptr, without_identity(std::move(map)), threshold, level)) {}

  [[nodiscard]] Index input_dim() const { return step_.input_dim(); }
  [[nodiscard]] Index output_dim() const { return step_.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return step_.formula("LN(" + argument + ")"); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return step_.multiply_adds(layout); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_size("folded ISTA: rows of the tokens", z.rows(), input_dim());
    check_size("folded ISTA: rows of the output", out.rows(), output_dim());
    Workspace::Frame frame(pass.workspace);
    auto x = frame.template matrix<Scalar>(input_dim(), z.cols());
    norm_.forward(z, x, pass);
    const detail::Columns<const Scalar> tokens = detail::columns_of(std::as_const(x));
    step_.apply(tokens, z.cols(), tokens, detail::columns_of(out), pass.workspace, pass.threads);
  }

  [[nodiscard]] std::size_t bytes_held() const { return step_.bytes_held() + detail::bytes_held(norm_); }

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& layout, int threads) const {
    return Workspace::room<Scalar>(input_dim() * layout.tokens()) +
           std::max(norm_.workspace_bytes(layout, threads), step_.workspace_bytes(layout, threads));
  }

 private:
  static AffineMap without_identity(AffineMap map) {
    map.weight.diagonal().array() -= 1;
    return map;
  }

  LayerNorm<Scalar> norm_;
  FoldedLinear<W> step_;  // prox(x + (A - I) x + c)
};

}  // namespace crate
