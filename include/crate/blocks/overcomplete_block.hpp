// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/layers/chain.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/overcomplete_ista.hpp"
#include "crate/layers/pre_norm.hpp"
#include "crate/layers/residual.hpp"

namespace crate {

struct OvercompleteBlockOptions {
  Index dim = 0;       ///< d >= 1
  Index heads = 0;     ///< K >= 1
  Index head_dim = 0;  ///< p; 0 for d / K
  Index atoms = 0;     ///< s; 0 for 4 d
  double step = 0.1;   ///< eta >= 0, of the sparse code
  double lambda = 0.1;
  AttentionMask mask = AttentionMask::causal;
  double dropout = 0;  ///< of MSSA, in recorded passes alone
};

/// A layer of the overcomplete language model: sparse codes over a dictionary that also decodes them,
/// no residual round it:
///   Z^{l+1/2} = Z^l + MSSA(LN(Z^l) | U^l)
///   Z^{l+1}   = D A(LN(Z^{l+1/2}) | D),   A = two ISTA steps from zero
/// Source: arXiv 2410.16443 (CRATE-LM). MSSA and its scale are as in CrateBlock, which shows how a block is used.
template <crate::Scalar S>
struct OvercompleteBlock : Chain<OvercompleteBlock<S>, S> {
  using Options = OvercompleteBlockOptions;

  Residual<PreNorm<Mssa<S>>> compress;
  PreNorm<OvercompleteIsta<S>> sparsify;

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit OvercompleteBlock(const Options& o)
      : compress(PreNorm(
            Mssa<S>({.dim = o.dim, .heads = o.heads, .head_dim = o.head_dim, .mask = o.mask, .dropout = o.dropout}))),
        sparsify(OvercompleteIsta<S>(o.dim, o.atoms != 0 ? o.atoms : 4 * o.dim, Decoding::tied,
                                     {.step = o.step, .lambda = o.lambda})) {}

  static constexpr auto parts() {
    return std::tuple{part("compress", &OvercompleteBlock::compress), part("sparsify", &OvercompleteBlock::sparsify)};
  }
};

}  // namespace crate
