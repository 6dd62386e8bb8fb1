// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/matrix.hpp"

namespace crate {

/// Columns at length 1, z_j / ||z_j||; those of zeros stay.
template <Scalar S>
[[nodiscard]] Matrix<S> unit_columns(Matrix<S> columns) {
  for (Index j = 0; j < columns.cols(); ++j) {
    const S length = columns.col(j).stableNorm();
    if (length > S(0)) columns.col(j) /= length;
  }
  return columns;
}

}  // namespace crate
