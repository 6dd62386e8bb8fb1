// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "crate/inference/folded_chain.hpp"
#include "crate/inference/folded_linear.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/overcomplete_ista.hpp"
#include "crate/layers/pre_norm.hpp"

namespace crate {

/// D' A(LN(z)), A = T steps of the sparse code. The dictionary is kept as eta D^T and as -D, with the step size inside:
///   x = LN(z),   A^1 = prox(eta D^T x),   A^{t+1} = prox(A^t + eta D^T (x - D A^t)).
/// Every step but the first takes two products of 4 d^2 at s = 4 d, and none is saved by D^T D, which has 16 d^2
/// entries; the norm is computed, for x is needed itself.
template <FoldedWeight W>
class FoldedOvercompleteIsta {
 public:
  using Scalar = ScalarOf<W>;
  static constexpr bool is_tokenwise = true;

  explicit FoldedOvercompleteIsta(PreNorm<OvercompleteIsta<Scalar>> layer)
      : norm_(std::move(layer.norm)),
        steps_(layer.layer.options.steps),
        encode_(encoding(layer.layer)),
        approximate_(negative(layer.layer.dictionary)),
        decode_(AffineMap(layer.layer.decoding.size() != 0 ? layer.layer.decoding : layer.layer.dictionary)) {}

  [[nodiscard]] Index input_dim() const { return encode_.input_dim(); }
  [[nodiscard]] Index output_dim() const { return decode_.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "D' code(LN(" + argument + "))"; }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return 2 * static_cast<double>(steps_) * decode_.multiply_adds(layout);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const { compute(z, {}, out, pass); }

  /// out = addend + D' A(LN(z)).
  void compute(ConstTokens<Scalar> z, detail::Columns<const Scalar> addend, Tokens<Scalar> out,
               Pass<Scalar>& pass) const {
    check_size("folded overcomplete ISTA: rows of the tokens", z.rows(), input_dim());
    check_size("folded overcomplete ISTA: rows of the output", out.rows(), output_dim());
    if (encode_.keeps_tokens())
      compute_keeping<Scalar>(z, addend, out, pass);
    else
      compute_keeping<W>(z, addend, out, pass);
  }

  [[nodiscard]] std::size_t bytes_held() const {
    return encode_.bytes_held() + approximate_.bytes_held() + decode_.bytes_held() + detail::bytes_held(norm_);
  }

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& layout, int threads) const {
    const Index cols = layout.tokens(), residuals = residual_stride() * cols, codes = codes_stride() * cols;
    const std::size_t tokens = Workspace::room<Scalar>(input_dim() * cols),
                      first = encode_.workspace_bytes(layout, threads);
    if (!encode_.keeps_tokens()) return tokens + Workspace::room<W>(residuals) + Workspace::room<W>(codes) + first;
    return tokens + Workspace::room<Scalar>(residuals) + Workspace::room<Scalar>(codes) +
           std::max(first, decode_.workspace_bytes(layout, threads));
  }

 private:
  /// With residuals and codes kept so from one product to the next.
  template <class Kept>
  void compute_keeping(ConstTokens<Scalar> z, detail::Columns<const Scalar> addend, Tokens<Scalar> out,
                       Pass<Scalar>& pass) const {
    const Index cols = z.cols();
    Workspace::Frame frame(pass.workspace);
    auto x = frame.template matrix<Scalar>(input_dim(), cols);
    norm_.forward(z, x, pass);
    const detail::Columns<const Scalar> tokens = detail::columns_of(std::as_const(x));
    const detail::Columns<Kept> residual{frame.template array<Kept>(residual_stride() * cols), residual_stride()};
    const detail::Columns<Kept> codes{frame.template array<Kept>(codes_stride() * cols), codes_stride()};
    const auto apply = [&](const FoldedLinear<W>& map, auto from, auto added, auto to) {
      map.apply(from, cols, added, to, pass.workspace, pass.threads);
    };
    apply(encode_, tokens, encode_.nothing, codes);
    for (Index step = 1; step < steps_; ++step) {
      apply(approximate_, codes, tokens, residual);
      apply(encode_, residual, codes, codes);
    }
    apply(decode_, codes, addend, detail::columns_of(out));
  }

  static FoldedLinear<W> encoding(const OvercompleteIsta<Scalar>& layer) {
    AffineMap map(layer.dictionary.transpose());
    map.weight *= layer.options.step;
    return with_threshold<W>(nullptr, std::move(map), layer.options.threshold,
                             layer.options.step * layer.options.lambda);
  }
  static FoldedLinear<W> negative(const RowMajorMatrix<Scalar>& dictionary) {
    return FoldedLinear<W>(AffineMap(-dictionary));
  }

  // Tokens are read in whole pairs.
  [[nodiscard]] Index residual_stride() const { return detail::round_up(input_dim(), 2); }
  [[nodiscard]] Index codes_stride() const { return detail::round_up(encode_.output_dim(), 2); }

  LayerNorm<Scalar> norm_;
  Index steps_;
  FoldedLinear<W> encode_;       // prox(eta D^T x)
  FoldedLinear<W> approximate_;  // -D a
  FoldedLinear<W> decode_;       // D' a
};

}  // namespace crate
