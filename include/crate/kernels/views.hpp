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

/// The smallest multiple of `step` that is not below `count`.
[[nodiscard]] constexpr Index round_up(Index count, Index step) { return (count + step - 1) / step * step; }

}  // namespace crate::detail
