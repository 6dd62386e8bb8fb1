// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <type_traits>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/packed_product.hpp"
#include "crate/kernels/views.hpp"

// The one door for products of matrices.

namespace crate {

namespace detail {

/// Products of fewer multiply-adds are not worth packing.
inline constexpr Index smallest_packed_product = 4096;

/// out = A B if assign, else out += scale A B; for products so small that a loop will do.
template <Scalar S>
void multiply_small(bool assign, S scale, MatrixView<const S> a, MatrixView<const S> b, MatrixView<S> out) {
  for (Index j = 0; j < out.cols; ++j)
    for (Index i = 0; i < out.rows; ++i) {
      S sum = 0;
      for (Index k = 0; k < a.cols; ++k) sum += *a.at(i, k) * *b.at(k, j);
      *out.at(i, j) = assign ? sum : *out.at(i, j) + scale * sum;
    }
}

/// How many numbers of the depth are multiplied at a time: as many as a panel of them leaves room for in the second cache, and a tile's columns in
/// the first, in equal blocks.
[[nodiscard]] inline Index depth_of_block(Index depth) {
  constexpr Index largest = 768;
  const Index blocks = (depth + largest - 1) / largest;
  return blocks == 0 ? 0 : (depth + blocks - 1) / blocks;
}

/// out = A B if assign, else out += scale A B. Of every block of the depth first A is packed, and B unless its columns lie in memory as
/// they are; then pieces of the output are multiplied. The cut depends on sizes alone, and so do the bits.
template <Scalar S>
void multiply_packing(bool assign, S scale, MatrixView<const S> a, MatrixView<const S> b, Columns<S> out,
                      Threads& threads) {
  static thread_local Workspace packed;
  const InstructionSet set = instruction_set();
  const Index rows = a.rows, cols = b.cols, lanes = lanes_in(set, sizeof(S)), tile = tile_rows(set, sizeof(S));
  const Index panels = (rows + tile - 1) / tile, block = depth_of_block(a.cols);
  Workspace::Frame frame(packed);
  S* const packed_a = frame.array<S>(round_up(rows, lanes) * block);
  S* const packed_b = b.row_step == 1 ? nullptr : frame.array<S>(block * cols);
  with_kernels(set, [&]<class K>(K) {
    for (Index from = 0; from < a.cols; from += block) {
      const Index depth = std::min(block, a.cols - from);
      threads.for_each(panels, [&](Index panel, int) {
        const Index row = panel * tile, height = std::min(tile, rows - row);
        K::template pack_panel_of<S>(a.block(row, from, height, depth), round_up(height, lanes), packed_a + row * depth);
      });
      Columns<const S> x{b.at(from, 0), b.col_step};
      if (packed_b != nullptr) {
        threads.for_each_range(cols, 4 * lanes, [&](Index col, Index count, int) {
          K::template transpose_into<S>(b.at(from, col), b.row_step, depth, count, packed_b + col * depth, depth);
        });
        x = {packed_b, depth};
      }
      Epilogue<S> epilogue{.scale = assign ? S(1) : scale};
      if (!assign || from > 0) epilogue.addend = {out.first, out.stride};
      for_each_piece(panels, cols, depth * Index{sizeof(S)}, set, threads, [&](Index panel, Index first, Index last, int) {
        const Index row = panel * tile;
        K::template multiply_panel<typename K::template Arithmetic<S>>(packed_a + row * depth, depth, row,
                                                                       std::min(tile, rows - row), x, first, last, epilogue, out);
      });
    }
  });
}

template <Scalar S>
void multiply(bool assign, S scale, MatrixView<const S> a, MatrixView<const S> b, MatrixView<S> out, Threads& threads) {
  if (out.row_step != 1) return multiply<S>(assign, scale, b.transposed(), a.transposed(), out.transposed(), threads);
  if (out.rows == 0 || out.cols == 0) return;
  if (a.cols == 0 || out.rows * out.cols * a.cols < smallest_packed_product)
    return multiply_small<S>(assign, scale, a, b, out);
  multiply_packing<S>(assign, scale, a, b, {out.first, out.col_step}, threads);
}

}  // namespace detail

}  // namespace crate
