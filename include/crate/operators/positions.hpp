// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/resampling.hpp"

// Position tables for grids of patches: fixed ones, and learnt ones stretched to another grid. A table is
// d x (1 + rows * columns): the class token first, then the patches row by row.

namespace crate {

/// The fixed table of the masked autoencoder: the first half of each column encodes the patch's column, the second its
/// row; of either half the first half is sin(x w_i), the other cos(x w_i), w_i = 10000^(-i / (d/4)). The class token's
/// is zero. Throws OptionError unless 4 divides dim and the grid has patches.
template <Scalar S>
[[nodiscard]] Matrix<S> sin_cos_positions(Index dim, Index rows, Index columns);

/// A learnt table for a grid of rows x columns patches, stretched to new_rows x new_columns by cubic convolution. The
/// published code scales by (new + 0.1) / old, so that rounding never loses a patch; so does this. The class token's
/// stays. Throws ShapeError unless the table is for the grid, OptionError on an empty grid.
template <Scalar S>
[[nodiscard]] Matrix<S> interpolate_positions(const Matrix<S>& table, Index rows, Index columns, Index new_rows,
                                              Index new_columns);

/// The adjoint of interpolate_positions, which is linear in the table: what dL/d(stretched), d x (1 + new patches),
/// becomes of the table, d x (1 + patches). Throws as interpolate_positions.
template <Scalar S>
[[nodiscard]] Matrix<S> interpolate_positions_adjoint(const Matrix<S>& stretched_cotangent, Index rows, Index columns,
                                                      Index new_rows, Index new_columns);

}  // namespace crate

#include "crate/operators/detail/positions.ipp"
