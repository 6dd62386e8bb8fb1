// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

namespace training_program {

namespace detail {

auto& attention_of(auto& block) {
  if constexpr (requires { block.attend; })
    return block.attend.branch.layer;
  else
    return block.compress.branch.layer;
}

}  // namespace detail

/// The dropout of the attention of every block, of whichever kind.
template <class Block>
void set_attention_dropout(std::vector<Block>& blocks, double probability) {
  for (Block& block : blocks) detail::attention_of(block).dropout = probability;
}

}  // namespace training_program
