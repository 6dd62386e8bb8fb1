// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>

#include "crate/core/matrix.hpp"

namespace crate::detail {

/// Whether matrices and subspaces have the same scalar, float or double; a sentence and no page of Eigen's if not.
template <class First, class... Others>
[[nodiscard]] consteval bool one_scalar() {
  constexpr bool is_real = crate::Scalar<typename First::Scalar>;
  constexpr bool is_one = (std::same_as<typename First::Scalar, typename Others::Scalar> && ...);
  static_assert(is_real, "tokens of float or double are expected");
  static_assert(!is_real || is_one, "tokens, subspaces and dictionaries of one scalar type are expected");
  return is_real && is_one;
}

/// What operators ask of what they are given, before their bodies are compiled.
template <class... Matrices>
concept OneScalar = one_scalar<Matrices...>();

}  // namespace crate::detail
