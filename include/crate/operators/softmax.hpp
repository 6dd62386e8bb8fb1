// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Softmax of each column: exp(x_i) / sum_j exp(x_j). The column's maximum is taken off first, so nothing overflows,
/// and adding a constant to a column changes nothing. Throws ShapeError on a matrix without entries.
template <class Derived>
[[nodiscard]] Plain<Derived> softmax_columns(const Eigen::MatrixBase<Derived>& logits);

/// The adjoint of softmax_columns: with the probabilities y it returned and the cotangent c of each column,
/// y .* (c - y^T c). Throws ShapeError unless both have one size.
template <class Derived, class CotangentDerived>
[[nodiscard]] Plain<Derived> softmax_columns_adjoint(const Eigen::MatrixBase<Derived>& probabilities,
                                                     const Eigen::MatrixBase<CotangentDerived>& cotangent);

}  // namespace crate

#include "crate/operators/detail/softmax.ipp"
