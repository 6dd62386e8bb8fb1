// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crate/inference/folded_linear.hpp"
#include "crate/kernels/attention.hpp"
#include "crate/layers/detail/attend_in_pass.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/pre_norm.hpp"
#include "crate/layers/self_attention.hpp"
#include "crate/operators/attention.hpp"

namespace crate {

/// sign attention(LN(z)), sign = 1 or -1, of MSSA or of self-attention: the norm goes into the projection, the sign and
/// the rate factor into the output. Weights in bfloat16 multiply rounded tokens where the processor can, unless these
/// shall be kept.
template <FoldedWeight W>
class FoldedAttention {
 public:
  using Scalar = ScalarOf<W>;

  explicit FoldedAttention(PreNorm<Mssa<Scalar>> layer, double sign = 1, bool keeps_tokens = false)
      : projection_(layer.norm, AffineMap(layer.layer.subspaces.bases().transpose())),
        heads_(layer.layer.subspaces.heads()),
        attention_(layer.layer.attention),
        factor_(sign * attention_.rate_factor) {
    if (keeps_tokens) projection_.keep_tokens();
    const Mssa<Scalar>& mssa = layer.layer;
    if (mssa.output_kind == MssaOutput::identity) return;
    fold_output(mssa.output ? AffineMap(mssa.output->weight, mssa.output->bias) : AffineMap(mssa.subspaces.bases()));
  }

  explicit FoldedAttention(PreNorm<SelfAttention<Scalar>> layer, double sign = 1, bool keeps_tokens = false)
      : projection_(layer.norm, AffineMap(layer.layer.projection.weight, layer.layer.projection.bias)),
        projections_(3),
        heads_(layer.layer.heads),
        attention_(layer.layer.attention),
        factor_(sign) {
    if (keeps_tokens) projection_.keep_tokens();
    fold_output(AffineMap(layer.layer.output.weight, layer.layer.output.bias));
  }

  [[nodiscard]] Index input_dim() const { return projection_.input_dim(); }
  [[nodiscard]] Index output_dim() const { return output_ ? output_->output_dim() : width(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return (projections_ == 1 ? "MSSA(LN(" : "attention(LN(") + argument + "))";
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return projection_.multiply_adds(layout) + (output_ ? output_->multiply_adds(layout) : 0) +
           2 * layout.pairs() * static_cast<double>(width());
  }

  /// U^T LN(z), or keys and values. Throws OptionError without a causal mask, as then tokens see those that follow.
  void list_cached_rows(std::vector<Index>& rows) const {
    detail::check_goes_on(attention_);
    rows.push_back(projections_ == 1 ? width() : 2 * width());
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const { compute(z, {}, out, pass); }

  /// out = addend + sign MSSA(LN(z)).
  void compute(ConstTokens<Scalar> z, detail::Columns<const Scalar> addend, Tokens<Scalar> out,
               Pass<Scalar>& pass) const {
    compute(z, false, addend, out, pass);
  }

  /// The same for the first token of each set alone: addend and output hold these side by side.
  void compute_first(ConstTokens<Scalar> z, detail::Columns<const Scalar> addend, Tokens<Scalar> out,
                     Pass<Scalar>& pass) const {
    compute(z, true, addend, out, pass);
  }

  [[nodiscard]] std::size_t bytes_held() const {
    return projection_.bytes_held() + (output_ ? output_->bytes_held() : 0);
  }

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& layout, int threads) const {
    const Index size = stride(width()) * layout.tokens();
    return Workspace::room<Scalar>(stride(projection_.output_dim()) * layout.tokens()) +
           (rounds_attended() ? Workspace::room<W>(size) : Workspace::room<Scalar>(size)) +
           std::max({projection_.workspace_bytes(layout, threads),
                     output_ ? output_->workspace_bytes(layout, threads) : 0,
                     detail::attention_room<Scalar>(projection_.instruction_set(), width() / heads_, layout, threads)});
  }

 private:
  void compute(ConstTokens<Scalar> z, bool first_tokens, detail::Columns<const Scalar> addend, Tokens<Scalar> out,
               Pass<Scalar>& pass) const {
    check_size("folded attention: rows of the tokens", z.rows(), input_dim());
    check_size("folded attention: rows of the output", out.rows(), output_dim());
    Workspace::Frame frame(pass.workspace);
    const Index rows = stride(projection_.output_dim());
    const detail::Columns<Scalar> projected{frame.array<Scalar>(rows * z.cols()), rows};
    projection_.apply(detail::columns_of(z), z.cols(), projection_.nothing, projected, pass.workspace, pass.threads);
    const auto attend = [&]<class Kept>(Kept* attended) {
      const detail::Columns<Kept> columns{attended, stride(width())};
      detail::attend_in_pass<Scalar>(projection_.instruction_set(), heads_of(projected, pass.layout()), first_tokens,
                                     columns, pass);
      return columns;
    };
    const auto project_back = [&](auto attended) {
      output_->apply(attended, out.cols(), addend, detail::columns_of(out), pass.workspace, pass.threads);
    };
    if (rounds_attended()) {
      project_back(attend(frame.array<W>(stride(width()) * out.cols())));
    } else if (output_) {
      project_back(attend(frame.array<Scalar>(stride(width()) * out.cols())));
    } else {
      const auto attended = attend(frame.array<Scalar>(stride(width()) * out.cols()));
      for (Index j = 0; j < out.cols(); ++j)
        for (Index i = 0; i < out.rows(); ++i)
          out(i, j) = (addend.first ? *addend.at(i, j) : 0) + static_cast<Scalar>(factor_) * *attended.at(i, j);
    }
  }

  void fold_output(AffineMap map) {
    map.weight *= factor_;
    map.bias *= factor_;
    output_.emplace(map);
    if (projection_.keeps_tokens()) output_->keep_tokens();
  }

  /// Queries, keys and values, which MSSA has in one.
  [[nodiscard]] auto heads_of(detail::Columns<Scalar> projected, const TokenLayout& layout) const {
    auto heads = detail::attention_heads(projected, heads_, width() / heads_, layout, attention_);
    if (projections_ == 1) return heads;
    heads.keys.first += width();
    heads.values.first += 2 * width();
    return heads;
  }

  /// Of all heads together.
  [[nodiscard]] Index width() const { return projection_.output_dim() / projections_; }
  /// Heads are stored one after another in bfloat16 only if each is whole pairs.
  [[nodiscard]] bool rounds_attended() const {
    return output_.has_value() && !output_->keeps_tokens() && width() / heads_ % 2 == 0;
  }

  /// Of projected tokens: heads begin on cache lines where their dimension allows, and columns do not all meet in the
  /// same place of the cache.
  [[nodiscard]] static Index stride(Index rows) {
    constexpr Index line = 64 / sizeof(Scalar);
    return detail::round_up(rows, line) + line;
  }

  FoldedLinear<W> projection_;  // U^T LN(z), or [Q; K; V]
  Index projections_ = 1;
  Index heads_;
  AttentionOptions attention_;
  double factor_;
  std::optional<FoldedLinear<W>> output_;
};

}  // namespace crate
