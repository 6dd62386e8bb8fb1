// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/matrix.hpp"
#include "crate/kernels/instruction_set.hpp"

namespace crate::detail {

/// Bytes of a register.
[[nodiscard]] constexpr int vector_bytes(InstructionSet set) {
  switch (set) {
    case InstructionSet::portable:
      return 16;
    case InstructionSet::avx2:
      return 32;
    default:
      return 64;
  }
}

/// A tile of a product: so many registers of rows by so many columns of sums. As many as the register file holds beside the operands:
/// 32 registers of 64 bytes, 16 smaller ones.
struct TileShape {
  int vectors, columns;
};

[[nodiscard]] constexpr TileShape tile_shape(int bytes) {
  if (bytes == 64) return {3, 8};
  return {2, bytes == 32 ? 6 : 4};
}

/// How many steps ahead of its use the micro-kernel fetches a panel, and so beyond the end of it: there must not lie what another thread
/// writes.
inline constexpr Index tile_steps_ahead = 16;

/// How many numbers (or pairs of bfloat16) of `size` bytes a register holds.
[[nodiscard]] constexpr Index lanes_in(InstructionSet set, std::size_t size) {
  return vector_bytes(set) / static_cast<Index>(size);
}
/// The rows of a whole tile.
[[nodiscard]] constexpr Index tile_rows(InstructionSet set, std::size_t size) {
  return tile_shape(vector_bytes(set)).vectors * lanes_in(set, size);
}

}  // namespace crate::detail
