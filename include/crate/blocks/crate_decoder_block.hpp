// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/layers/chain.hpp"
#include "crate/layers/dictionary.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/pre_norm.hpp"
#include "crate/layers/residual.hpp"

namespace crate {

struct CrateDecoderBlockOptions {
  Index dim = 0;       ///< d >= 1
  Index heads = 0;     ///< K >= 1
  Index head_dim = 0;  ///< p; 0 for d / K
  double dropout = 0;  ///< of MSSA, in recorded passes alone
};

/// A layer of the CRATE decoder, the mirror of CrateBlock: dictionary first, attention with a minus:
///   Z'      = D LN(Z^l)
///   Z^{l+1} = Z' - MSSA(LN(Z') | U^l)
/// Source: arXiv 2404.02446 (CRATE-MAE). There is no residual round the dictionary.
/// MSSA and its scale are as in CrateBlock, which shows how a block is used.
template <crate::Scalar S>
struct CrateDecoderBlock : Chain<CrateDecoderBlock<S>, S> {
  using Options = CrateDecoderBlockOptions;

  PreNorm<Dictionary<S>> expand;
  Subtract<PreNorm<Mssa<S>>> decompress;

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit CrateDecoderBlock(const Options& o)
      : expand(Dictionary<S>(o.dim)),
        decompress(PreNorm(Mssa<S>({.dim = o.dim,
                                    .heads = o.heads,
                                    .head_dim = o.head_dim,
                                    .output = published_output(o.dim, o.heads, o.head_dim),
                                    .dropout = o.dropout}))) {}

  static constexpr auto parts() {
    return std::tuple{part("expand", &CrateDecoderBlock::expand), part("decompress", &CrateDecoderBlock::decompress)};
  }
};

}  // namespace crate
