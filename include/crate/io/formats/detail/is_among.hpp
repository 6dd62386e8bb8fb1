// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string_view>

namespace crate::detail {

template <class Names>
[[nodiscard]] bool is_among(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace crate::detail
