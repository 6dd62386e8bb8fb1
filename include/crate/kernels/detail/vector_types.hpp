// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>

#include "crate/core/matrix.hpp"

// Vectors of numbers, by the vector extension that g++ and clang share. What computes with them is compiled for each
// instruction set apart; see targets.hpp.

namespace crate::detail {

template <class T, int bytes>
struct VectorType {
  typedef T type __attribute__((vector_size(bytes)));  // NOLINT(modernize-use-using): g++ takes no attribute in `using`
};

/// bytes / sizeof(T) numbers side by side.
template <class T, int bytes>
using VectorOf = typename VectorType<T, bytes>::type;

template <class V>
using ElementOf = std::remove_cvref_t<decltype(V{}[0])>;

template <class V>
inline constexpr Index lanes_of = static_cast<Index>(sizeof(V) / sizeof(ElementOf<V>));

/// `count` vectors, in registers where they are indexed by constants alone.
template <class V, Index count>
using Registers = V[static_cast<std::size_t>(count)];

}  // namespace crate::detail
