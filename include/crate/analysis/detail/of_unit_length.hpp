// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/matrix.hpp"

namespace crate::detail {

/// z_j / ||z_j|| of every column; columns of zeros stay.
template <Scalar S>
[[nodiscard]] Matrix<S> of_unit_length(Matrix<S> tokens) {
  for (Index j = 0; j < tokens.cols(); ++j) {
    const S length = tokens.col(j).stableNorm();
    if (length != S(0)) tokens.col(j) /= length;
  }
  return tokens;
}

}  // namespace crate::detail
