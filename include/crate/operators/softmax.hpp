// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

namespace detail {

/// Replaces each column x by exp(x - max x) / sum exp(x - max x).
template <class Block>
void softmax_columns_in_place(Block&& block) {
  for (Index j = 0; j < block.cols(); ++j) {
    auto column = block.col(j).array();
    column = (column - column.maxCoeff()).exp();
    column *= 1 / column.sum();
  }
}

}  // namespace detail

/// Softmax of each column: exp(x_i) / sum_j exp(x_j). The column's maximum is taken off first, so nothing overflows, and
/// adding a constant to a column changes nothing. Throws ShapeError on a matrix without entries.
template <class Derived>
[[nodiscard]] Plain<Derived> softmax_columns(const Eigen::MatrixBase<Derived>& logits) {
  check_not_empty("softmax: logits", logits);
  Plain<Derived> result = logits;
  detail::softmax_columns_in_place(result);
  return result;
}

}  // namespace crate
