// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>

#include "crate/core/matrix.hpp"

namespace crate {

namespace detail {

/// ||x||, of numbers however large or small; plainly where their squares neither overflow nor underflow.
template <class Column>
[[nodiscard]] auto length_of(const Column& x) {
  using S = typename Column::Scalar;
  constexpr S least = std::same_as<S, float> ? S(1e-12) : S(1e-140), most = 1 / least;
  const S length = x.norm();
  return length > least && length < most ? length : x.stableNorm();
}

}  // namespace detail

/// Columns at length 1, z_j / ||z_j||; those of zeros stay.
template <Scalar S>
[[nodiscard]] Matrix<S> unit_columns(Matrix<S> columns) {
  for (Index j = 0; j < columns.cols(); ++j) {
    const S length = detail::length_of(columns.col(j));
    if (length > S(0)) columns.col(j) /= length;
  }
  return columns;
}

}  // namespace crate
