// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

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

/// A tile of a product: so many registers of rows by so many columns of sums, as many as the register file holds beside
/// the operands.
struct TileShape {
  int vectors, columns;
};

[[nodiscard]] constexpr TileShape tile_shape(int bytes) {
  if (bytes == 64) return {3, 8};  // 32 registers
  if (bytes == 32) return {2, 6};  // 16
#ifdef __aarch64__
  return {4, 5};  // 32; g++ 12 loads all numbers of a step before it multiplies, and would spill sums of a sixth column
#else
  return {2, 4};  // 16, and one for every product, for want of fused multiply-adds
#endif
}

/// Bytes; and what __builtin_prefetch calls the caches that it fetches into.
inline constexpr int cache_line = 64, first_cache = 3, second_cache = 2;

/// How many steps ahead of its use the micro-kernel fetches a panel, from the second cache.
inline constexpr Index tile_steps_ahead = 16;

/// How many bytes ahead for a single column: into the second cache and from memory, as each step is needed once. More
/// than a page of 4 KiB, at the end of which the processor's own fetching stops.
inline constexpr Index column_bytes_ahead = 4608;

/// How many of the steps listed of a single column are fetched ahead.
inline constexpr Index listed_steps_ahead = 16;

/// The numbers (or pairs of bfloat16) of `size` bytes behind a panel of so many rows that may be fetched with it. What
/// another thread writes had better not lie there, else its cache lines travel to and fro.
[[nodiscard]] constexpr Index numbers_ahead(Index rows, std::size_t size) {
  return std::max(tile_steps_ahead * rows, column_bytes_ahead / static_cast<Index>(size));
}

/// How many numbers (or pairs of bfloat16) of `size` bytes a register holds.
[[nodiscard]] constexpr Index lanes_in(InstructionSet set, std::size_t size) {
  return vector_bytes(set) / static_cast<Index>(size);
}
/// The rows of a whole tile.
[[nodiscard]] constexpr Index tile_rows(InstructionSet set, std::size_t size) {
  return tile_shape(vector_bytes(set)).vectors * lanes_in(set, size);
}

}  // namespace crate::detail
