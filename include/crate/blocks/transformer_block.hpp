// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/layers/chain.hpp"
#include "crate/layers/mlp.hpp"
#include "crate/layers/pre_norm.hpp"
#include "crate/layers/residual.hpp"
#include "crate/layers/self_attention.hpp"

namespace crate {

struct TransformerBlockOptions {
  Index dim = 0;     ///< d >= 1
  Index heads = 0;   ///< K >= 1, a divisor of d
  Index hidden = 0;  ///< of the MLP; 0 for 4 d
  GeluForm gelu = GeluForm::exact;
  double norm_epsilon = 1e-6;
  AttentionMask mask = AttentionMask::none;
  double dropout = 0;  ///< of attention, in recorded passes alone
};

/// A layer of the transformer that the paper compares with, pre-norm:
///   Z^{l+1/2} = Z^l + attention(LN(Z^l))
///   Z^{l+1}   = Z^{l+1/2} + W_2 GELU(W_1 LN(Z^{l+1/2}) + b_1) + b_2
/// Source: arXiv 2010.11929 (ViT), eqs. (2) and (3).
template <crate::Scalar S>
struct TransformerBlock : Chain<TransformerBlock<S>, S> {
  using Options = TransformerBlockOptions;

  Residual<PreNorm<SelfAttention<S>>> attend;
  Residual<PreNorm<Mlp<S>>> transform;

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit TransformerBlock(const Options& o)
      : attend(PreNorm(SelfAttention<S>({.dim = o.dim, .heads = o.heads, .mask = o.mask, .dropout = o.dropout}),
                       {.epsilon = o.norm_epsilon})),
        transform(PreNorm(Mlp<S>(o.dim, o.hidden != 0 ? o.hidden : 4 * o.dim, o.gelu), {.epsilon = o.norm_epsilon})) {}

  static constexpr auto parts() {
    return std::tuple{part("attend", &TransformerBlock::attend), part("transform", &TransformerBlock::transform)};
  }
};

}  // namespace crate
