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

/// Products of fewer multiply-adds, or of fewer columns, are not worth packing.
inline constexpr Index smallest_packed_product = 4096, fewest_packed_columns = 4;

template <Scalar S, int order>
[[nodiscard]] auto mapped(MatrixView<const S> a) {
  using Viewed = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, order>;
  return Eigen::Map<const Viewed, 0, Eigen::OuterStride<>>(a.first, a.rows, a.cols,
                                                           Eigen::OuterStride<>(std::max(a.row_step, a.col_step)));
}

/// out = A B if assign, else out += scale A B, column by column as products with a vector.
template <Scalar S>
void multiply_columns(bool assign, S scale, MatrixView<const S> a, MatrixView<const S> b, Columns<S> out) {
  Vector<S> x(b.rows);
  for (Index j = 0; j < b.cols; ++j) {
    for (Index k = 0; k < b.rows; ++k) x[k] = *b.at(k, j);
    Eigen::Map<Vector<S>> y(out.at(0, j), a.rows);
    if (assign) y.setZero();
    const S factor = assign ? S(1) : scale;
    if (a.row_step == 1)
      y.noalias() += factor * (mapped<S, Eigen::ColMajor>(a) * x);
    else
      y.noalias() += factor * (mapped<S, Eigen::RowMajor>(a) * x);
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
        K::template pack_panel_of<S>(a.block(row, from, height, depth), round_up(height, lanes),
                                     packed_a + row * depth);
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
      for_each_piece(
          panels, cols, depth * Index{sizeof(S)}, set, threads, [&](Index panel, Index first, Index last, int) {
            const Index row = panel * tile;
            K::template multiply_panel<typename K::template Arithmetic<S>>(
                packed_a + row * depth, depth, row, std::min(tile, rows - row), x, first, last, epilogue, out);
          });
    }
  });
}

template <Scalar S>
void multiply(bool assign, S scale, MatrixView<const S> a, MatrixView<const S> b, MatrixView<S> out, Threads& threads) {
  if (out.row_step != 1) return multiply<S>(assign, scale, b.transposed(), a.transposed(), out.transposed(), threads);
  if (out.rows == 0 || out.cols == 0) return;
  if (out.cols < fewest_packed_columns || out.rows * out.cols * a.cols < smallest_packed_product)
    return multiply_columns<S>(assign, scale, a, b, {out.first, out.col_step});
  multiply_packing<S>(assign, scale, a, b, {out.first, out.col_step}, threads);
}

/// Whether entries lie in memory, column after column or row after row, in sizes that are known at run time.
template <class M>
inline constexpr bool is_viewable = (M::Flags & Eigen::DirectAccessBit) != 0 && M::InnerStrideAtCompileTime == 1;

/// The matrix itself if it can be viewed, otherwise what the expression evaluates to.
template <class Derived>
decltype(auto) viewable(const Eigen::MatrixBase<Derived>& expression) {
  if constexpr (is_viewable<Derived>)
    return (expression.derived());
  else
    return Plain<Derived>(expression);
}

template <class A, class B, class Out>
void multiply(bool assign, typename Out::Scalar scale, const A& a, const B& b, Out& out, Threads& threads) {
  using S = typename Out::Scalar;
  static_assert(is_viewable<Out>, "a product goes into a matrix, a block of columns or the transpose of one");
  const auto& left = viewable(a);
  const auto& right = viewable(b);
  multiply<S>(assign, scale, view_of<const S>(left), view_of<const S>(right), view_of<S>(out), threads);
}

}  // namespace detail

/// out = A B on several threads, by the library's own kernels; bounded sizes by Eigen. `out` must not overlap A or B. It is cut into
/// pieces by its size alone, so that any number of threads gives the same bits.
template <class A, class B, class Out>
void multiply(const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b, Eigen::MatrixBase<Out>& out,
              Threads& threads) {
  if constexpr (is_bounded<Out>)
    out.noalias() = a * b;
  else
    detail::multiply(true, 1, a.derived(), b.derived(), out.derived(), threads);
}

/// out += scale A B on several threads, as multiply.
template <class A, class B, class Out>
void multiply_add(double scale, const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b,
                  Eigen::MatrixBase<Out>& out, Threads& threads) {
  const auto factor = static_cast<typename Out::Scalar>(scale);
  if constexpr (is_bounded<Out>)
    out.noalias() += factor * (a * b);
  else
    detail::multiply(false, factor, a.derived(), b.derived(), out.derived(), threads);
}

}  // namespace crate
