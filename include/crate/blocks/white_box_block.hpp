// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/blocks/strict_block.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/compression.hpp"
#include "crate/layers/dictionary.hpp"
#include "crate/layers/inverse.hpp"
#include "crate/layers/ista.hpp"
#include "crate/layers/on_directions.hpp"

namespace crate {

struct WhiteBoxBlockOptions {
  StrictBlockOptions layers = {};
  DirectionOptions directions = {};
  InverseOptions inverse = {};
};

/// A strict layer whose compression acts on the directions of tokens, which keep their lengths:
///   Z^{l+1/2} = |Z^l| unit(step(directions(Z^l) | U^l)),   Z^{l+1} = ISTA(Z^{l+1/2} | D^l).
template <crate::Scalar S>
struct WhiteBoxBlock : Chain<WhiteBoxBlock<S>, S> {
  using Options = WhiteBoxBlockOptions;

  OnDirections<Compression<S>> compress;
  Ista<S> sparsify;

  /// All zero. Throws OptionError on an option out of range.
  explicit WhiteBoxBlock(const Options& o)
      : compress(Compression<S>(o.layers.template zero_subspaces<S>(), o.layers.compression), o.directions),
        sparsify(o.layers.dim, o.layers.ista) {}

  static constexpr auto parts() {
    return std::tuple{part("compress", &WhiteBoxBlock::compress), part("sparsify", &WhiteBoxBlock::sparsify)};
  }
};

/// Its inverse, but for what the threshold took: Z' = D^l Z, then the tokens of which compression makes Z'.
template <crate::Scalar S>
struct WhiteBoxDecoderBlock : Chain<WhiteBoxDecoderBlock<S>, S> {
  using Options = WhiteBoxBlockOptions;

  Dictionary<S> expand;
  Inverse<OnDirections<Compression<S>>> decompress;

  /// All zero. Throws OptionError on an option out of range.
  explicit WhiteBoxDecoderBlock(const Options& o)
      : expand(o.layers.dim),
        decompress(OnDirections<Compression<S>>(
                       Compression<S>(o.layers.template zero_subspaces<S>(), o.layers.compression), o.directions),
                   o.inverse) {}

  static constexpr auto parts() {
    return std::tuple{part("expand", &WhiteBoxDecoderBlock::expand),
                      part("decompress", &WhiteBoxDecoderBlock::decompress)};
  }
};

}  // namespace crate
