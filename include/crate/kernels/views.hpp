// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "crate/core/matrix.hpp"

// Matrices as kernels see them: plain memory.

namespace crate::detail {

/// Columns in memory, `stride` numbers apart.
template <class T>
struct Columns {
  T* first = nullptr;
  Index stride = 0;

  [[nodiscard]] T* at(Index row, Index column) const { return first + column * stride + row; }
};

/// The columns of a matrix in memory.
template <class M>
[[nodiscard]] auto columns_of(M& matrix) {
  return Columns<std::remove_pointer_t<decltype(matrix.data())>>{matrix.data(), matrix.outerStride()};
}

/// A matrix in memory, whose entry (i, j) lies `i * row_step + j * col_step` numbers behind the first; one of the steps
/// is 1.
template <class T>
struct MatrixView {
  T* first = nullptr;
  Index rows = 0, cols = 0;
  Index row_step = 1, col_step = 0;

  [[nodiscard]] T* at(Index row, Index column) const { return first + row * row_step + column * col_step; }
  [[nodiscard]] MatrixView block(Index row, Index column, Index block_rows, Index block_cols) const {
    return {at(row, column), block_rows, block_cols, row_step, col_step};
  }
  [[nodiscard]] MatrixView transposed() const { return {first, cols, rows, col_step, row_step}; }
};

template <class T>
[[nodiscard]] MatrixView<const T> as_const(MatrixView<T> a) {
  return {a.first, a.rows, a.cols, a.row_step, a.col_step};
}

/// A matrix whose entries lie in memory, column after column or row after row, as kernels see it.
template <class T, class M>
[[nodiscard]] MatrixView<T> view_of(M& matrix) {
  static_assert(is_viewable<std::remove_const_t<M>>);
  const Index stride = matrix.outerStride();
  if (std::remove_const_t<M>::IsRowMajor) return {matrix.data(), matrix.rows(), matrix.cols(), stride, 1};
  return {matrix.data(), matrix.rows(), matrix.cols(), 1, stride};
}

/// The smallest multiple of `step` that is not below `count`.
[[nodiscard]] constexpr Index round_up(Index count, Index step) { return (count + step - 1) / step * step; }

}  // namespace crate::detail
