// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>
#include <vector>

#include "crate/layers/chain.hpp"

namespace crate {

/// Blocks, one after another: Z^{l+1} = f^l(Z^l), l = 1, ..., L.
template <class Block>
struct BlockStack : Chain<BlockStack<Block>, typename Block::Scalar> {
  using Options = typename Block::Options;

  std::vector<Block> layers;

  /// `depth` equal blocks. Throws OptionError unless depth >= 1 and the options of the block hold.
  BlockStack(Index depth, const Options& block) {
    check_option(depth >= 1, "depth >= 1", depth);
    layers.reserve(static_cast<std::size_t>(depth));
    for (Index l = 0; l < depth; ++l) layers.emplace_back(block);
  }

  static constexpr auto parts() { return std::tuple{part("layers", &BlockStack::layers)}; }
};

/// A stack in which each block is one step of optimisation.
template <class Block>
using Encoder = BlockStack<Block>;

/// Blocks that invert an encoder, in reverse order: layer l inverts layer L + 1 - l of the encoder.
template <class Block>
using Decoder = BlockStack<Block>;

}  // namespace crate
