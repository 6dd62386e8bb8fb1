// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/layers/chain.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/overcomplete_ista.hpp"
#include "crate/layers/pre_norm.hpp"
#include "crate/layers/residual.hpp"

namespace crate {

struct CrateAlphaBlockOptions {
  Index dim = 0;               ///< d >= 1
  Index heads = 0;             ///< K >= 1
  Index head_dim = 0;          ///< p; 0 for d / K
  Index atoms = 0;             ///< s; 0 for 4 d
  double step = 0.1;           ///< eta >= 0, of the sparse code
  double lambda = 0.1;         ///< >= 0, weight of the l1 norm in it
  double norm_epsilon = 1e-6;  ///< >= 0, of both layer norms
  AttentionMask mask = AttentionMask::none;
  double dropout = 0;  ///< of MSSA, in recorded passes alone
};

/// A layer of CRATE-alpha: sparse codes over an overcomplete dictionary, decoded by another,
/// with a residual round both:
///   Z^{l+1/2} = Z^l + MSSA(LN(Z^l) | U^l)
///   Z^{l+1}   = Z^{l+1/2} + D' A(LN(Z^{l+1/2}) | D),   A = two ISTA steps from zero
/// Source: arXiv 2405.20299. The output map of MSSA has no bias.
/// MSSA and its scale are as in CrateBlock, which shows how a block is used.
template <crate::Scalar S>
struct CrateAlphaBlock : Chain<CrateAlphaBlock<S>, S> {
  using Options = CrateAlphaBlockOptions;

  Residual<PreNorm<Mssa<S>>> compress;
  Residual<PreNorm<OvercompleteIsta<S>>> sparsify;

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit CrateAlphaBlock(const Options& o)
      : compress(PreNorm(Mssa<S>({.dim = o.dim,
                                  .heads = o.heads,
                                  .head_dim = o.head_dim,
                                  .output = published_output(o.dim, o.heads, o.head_dim),
                                  .output_bias = false,
                                  .mask = o.mask,
                                  .dropout = o.dropout}),
                         {.epsilon = o.norm_epsilon})),
        sparsify(PreNorm(OvercompleteIsta<S>(o.dim, o.atoms != 0 ? o.atoms : 4 * o.dim, Decoding::decoupled,
                                             {.step = o.step, .lambda = o.lambda}),
                         {.epsilon = o.norm_epsilon})) {}

  static constexpr auto parts() {
    return std::tuple{part("compress", &CrateAlphaBlock::compress), part("sparsify", &CrateAlphaBlock::sparsify)};
  }
};

}  // namespace crate
