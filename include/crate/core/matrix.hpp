// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/requirements.hpp"

#include <Eigen/Core>
#include <concepts>
#include <cstddef>

#include "crate/core/alignment.hpp"

static_assert(EIGEN_VERSION_AT_LEAST(3, 4, 0), "crate needs Eigen 3.4 or later");
static_assert(std::same_as<Eigen::Index, std::ptrdiff_t>,
              "crate needs Eigen's own index type: compile without EIGEN_DEFAULT_DENSE_INDEX_TYPE");

// As Eigen does; they are here again where <windows.h> came between Eigen and this header.
#undef min
#undef max

namespace crate {

/// float or double.
template <class T>
concept Scalar = std::same_as<T, float> || std::same_as<T, double>;

using Index = Eigen::Index;

/// Column-major. Of tokens: d x N, a token a column.
template <Scalar S>
using Matrix = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic>;

/// Row-major: how the published weights of linear maps [out, in] lie in memory.
template <Scalar S>
using RowMajorMatrix = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <Scalar S>
using Vector = Eigen::Matrix<S, Eigen::Dynamic, 1>;

/// Owns what the expression computes, with the sizes that are known at compile time.
template <class Derived>
using Plain = typename Derived::PlainObject;

/// Whether the sizes are known at compile time, or bounded: then entries lie on the stack, and forward operators and
/// gradients of rates allocate nothing (adjoints of attention and compression, steps on the rate reduction, and what
/// returns a Matrix do).
template <class Derived>
inline constexpr bool is_bounded = Derived::MaxSizeAtCompileTime != Eigen::Dynamic;

/// Whether entries lie in memory side by side, column after column or row after row.
template <class Derived>
inline constexpr bool is_viewable = (Derived::Flags & Eigen::DirectAccessBit) != 0 && Derived::InnerStrideAtCompileTime
                                                                                          == 1;

/// What an operator computes on: for run-time sizes an Eigen::Ref (a view of the matrix, or a temporary if the
/// expression has no memory of its own), so that each operator is compiled once per scalar; for bounded sizes the
/// matrix itself, or its value.
template <class Derived>
decltype(auto) evaluated(const Eigen::MatrixBase<Derived>& expression) {
  if constexpr (!is_bounded<Derived>)
    return Eigen::Ref<const Eigen::Matrix<typename Derived::Scalar, Eigen::Dynamic, Eigen::Dynamic>>(
        expression.derived());
  else if constexpr (is_viewable<Derived>)
    return (expression.derived());
  else
    return Plain<Derived>(expression);
}

/// Whether a factorisation or an iteration of Eigen came to its end, by what it says of itself: 0, whose name Eigen
/// shares with a macro of X11.
template <class Solver>
[[nodiscard]] bool has_succeeded(const Solver& solver) {
  return static_cast<int>(solver.info()) == 0;
}

/// A view of a matrix whose columns lie in memory one after another.
template <Scalar S>
using MatrixMap = Eigen::Map<const Matrix<S>, 0, Eigen::OuterStride<>>;

/// The view of a matrix that outlives it.
template <class Derived>
[[nodiscard]] MatrixMap<typename Derived::Scalar> map_of(const Eigen::MatrixBase<Derived>& matrix) {
  static_assert(is_viewable<Derived> && !Derived::IsRowMajor, "expected a matrix that lies in memory by columns");
  return {matrix.derived().data(), matrix.rows(), matrix.cols(), Eigen::OuterStride<>(matrix.derived().outerStride())};
}

/// A view of tokens that a layer reads, d x N.
template <Scalar S>
using ConstTokens = const Eigen::Ref<const Matrix<S>>&;

/// A view of tokens that a layer writes, d x N. It never overlaps the tokens that the layer reads.
template <Scalar S>
using Tokens = Eigen::Ref<Matrix<S>>;

}  // namespace crate
