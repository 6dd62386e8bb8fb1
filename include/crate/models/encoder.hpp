// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>
#include <vector>

#include "crate/layers/combinators.hpp"

namespace crate {

/// Blocks, one after another: Z^{l+1} = f^l(Z^l), l = 1, ..., L. Each is one step of optimisation.
template <class Block>
struct Encoder : Chain<Encoder<Block>, typename Block::Scalar> {
  using Options = typename Block::Options;

  std::vector<Block> layers;

  /// `depth` equal blocks. Throws OptionError unless depth >= 1 and the options of the block hold.
  Encoder(Index depth, const Options& block) {
    check_option(depth >= 1, "encoder: depth >= 1", depth);
    layers.assign(static_cast<std::size_t>(depth), Block(block));
  }

  static constexpr auto parts() { return std::tuple{part("layers", &Encoder::layers)}; }
};

/// Blocks that undo an encoder's, in reverse: layer l is meant to invert layer L + 1 - l of the encoder.
template <class Block>
struct Decoder : Chain<Decoder<Block>, typename Block::Scalar> {
  using Options = typename Block::Options;

  std::vector<Block> layers;

  /// `depth` equal blocks. Throws OptionError unless depth >= 1 and the options of the block hold.
  Decoder(Index depth, const Options& block) {
    check_option(depth >= 1, "decoder: depth >= 1", depth);
    layers.assign(static_cast<std::size_t>(depth), Block(block));
  }

  static constexpr auto parts() { return std::tuple{part("layers", &Decoder::layers)}; }
};

}  // namespace crate
