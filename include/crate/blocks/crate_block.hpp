// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/layers/chain.hpp"
#include "crate/layers/ista.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/pre_norm.hpp"
#include "crate/layers/residual.hpp"

namespace crate {

struct CrateBlockOptions {
  Index dim = 0;        ///< d >= 1
  Index heads = 0;      ///< K >= 1
  Index head_dim = 0;   ///< p; 0 for d / K
  double step = 0.1;    ///< eta >= 0, of ISTA
  double lambda = 0.1;  ///< >= 0, weight of the l1 norm in ISTA
  AttentionMask mask = AttentionMask::none;
  double dropout = 0;       ///< of MSSA, in recorded passes alone
  bool output_bias = true;  ///< of the output map of MSSA
};

/// A layer of the CRATE encoder, with the published pre-norms:
///   Z^{l+1/2} = Z^l + MSSA(LN(Z^l) | U^l)
///   Z^{l+1}   = ISTA(LN(Z^{l+1/2}) | D^l)
/// Source: arXiv 2311.13110, eq. (18). There is no residual round ISTA: it carries its own.
/// As published, and unlike the derivation: logits are divided by sqrt(p), the heads are combined by a free map W, b
/// (eq. (115)) instead of U, and p / (N epsilon^2) and kappa are absorbed in the weights. StrictBlock is the
/// derivation.
///   CrateBlock<float> block({.dim = 384, .heads = 6});
///   initialise(block, 1);                                     // by a seed: a new block is all zero
///   Matrix<float> next = block.forward(tokens);               // 384 x N, one set; several: TokenSets; threads: Run
///   auto& U = block.compress.branch.layer.subspaces.bases();  // d x (K p)
///   auto& D = block.sparsify.layer.dictionary;                // d x d
/// To train, see layers/recording.hpp; for inference alone, fold(block) is faster.
template <crate::Scalar S>
struct CrateBlock : Chain<CrateBlock<S>, S> {
  using Options = CrateBlockOptions;

  Residual<PreNorm<Mssa<S>>> compress;
  PreNorm<Ista<S>> sparsify;

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit CrateBlock(const Options& o)
      : compress(PreNorm(Mssa<S>({.dim = o.dim,
                                  .heads = o.heads,
                                  .head_dim = o.head_dim,
                                  .output = published_output(o.dim, o.heads, o.head_dim),
                                  .output_bias = o.output_bias,
                                  .mask = o.mask,
                                  .dropout = o.dropout}))),
        sparsify(Ista<S>(o.dim, {.step = o.step, .lambda = o.lambda})) {}

  static constexpr auto parts() {
    return std::tuple{part("compress", &CrateBlock::compress), part("sparsify", &CrateBlock::sparsify)};
  }
};

}  // namespace crate
