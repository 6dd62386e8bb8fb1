// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "crate/io/families/published_names.hpp"

namespace crate::detail {

/// The concatenation of two tables of names.
template <std::size_t m, std::size_t n>
[[nodiscard]] constexpr std::array<PublishedName, m + n> joined_names(const std::array<PublishedName, m>& first,
                                                                      const std::array<PublishedName, n>& second) {
  std::array<PublishedName, m + n> all{};
  std::copy(second.begin(), second.end(), std::copy(first.begin(), first.end(), all.begin()));
  return all;
}

}  // namespace crate::detail
