// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "crate/inference/folded_linear.hpp"
#include "crate/layers/mlp.hpp"
#include "crate/layers/pre_norm.hpp"
#include "crate/operators/gelu.hpp"

namespace crate {

/// sign (W_2 GELU(W_1 LN(z) + b_1) + b_2), sign = 1 or -1: the norm goes into the first map, the sign into the second,
/// and GELU is taken where the first product is finished.
template <FoldedWeight W>
class FoldedMlp {
 public:
  using Scalar = ScalarOf<W>;
  static constexpr bool is_tokenwise = true;

  explicit FoldedMlp(const PreNorm<Mlp<Scalar>>& layer, int sign = 1)
      : expand_(layer.norm, AffineMap(layer.layer.expand.weight, layer.layer.expand.bias),
                detail::activation_of(layer.layer.activation.form)),
        contract_(AffineMap(Scalar(sign) * layer.layer.contract.weight, Scalar(sign) * layer.layer.contract.bias)) {}

  [[nodiscard]] Index input_dim() const { return expand_.input_dim(); }
  [[nodiscard]] Index output_dim() const { return contract_.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return contract_.formula(expand_.formula(argument));
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return expand_.multiply_adds(layout) + contract_.multiply_adds(layout);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const { compute(z, {}, out, pass); }

  /// out = addend + sign (W_2 GELU(W_1 LN(z) + b_1) + b_2).
  void compute(ConstTokens<Scalar> z, detail::Columns<const Scalar> addend, Tokens<Scalar> out,
               Pass<Scalar>& pass) const {
    check_size("folded MLP: rows of the tokens", z.rows(), input_dim());
    check_size("folded MLP: rows of the output", out.rows(), output_dim());
    if (contract_.keeps_tokens())
      compute_keeping<Scalar>(z, addend, out, pass);
    else
      compute_keeping<W>(z, addend, out, pass);
  }

  [[nodiscard]] std::size_t bytes_held() const { return expand_.bytes_held() + contract_.bytes_held(); }

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& layout, int threads) const {
    const Index hidden = hidden_stride() * layout.tokens();
    const std::size_t expand = expand_.workspace_bytes(layout, threads);
    if (!contract_.keeps_tokens()) return Workspace::room<W>(hidden) + expand;
    return Workspace::room<Scalar>(hidden) + std::max(expand, contract_.workspace_bytes(layout, threads));
  }

 private:
  /// With the hidden numbers kept so from one product to the next.
  template <class Kept>
  void compute_keeping(ConstTokens<Scalar> z, detail::Columns<const Scalar> addend, Tokens<Scalar> out,
                       Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    const detail::Columns<Kept> hidden{frame.template array<Kept>(hidden_stride() * z.cols()), hidden_stride()};
    expand_.apply(detail::columns_of(z), z.cols(), expand_.nothing, hidden, pass.workspace, pass.threads);
    contract_.apply(hidden, z.cols(), addend, detail::columns_of(out), pass.workspace, pass.threads);
  }

  /// Tokens are read in whole pairs, and columns do not all meet in the same place of the cache.
  [[nodiscard]] Index hidden_stride() const {
    constexpr Index line = 64 / sizeof(Scalar);
    return detail::round_up(expand_.output_dim(), line) + line;
  }

  FoldedLinear<W> expand_;    // GELU(W_1 LN(z) + b_1)
  FoldedLinear<W> contract_;  // sign (W_2 h + b_2)
};

}  // namespace crate
