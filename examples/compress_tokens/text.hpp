// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

namespace compress_tokens {

/// What printf would print.
template <class... Values>
[[nodiscard]] std::string text(const char* format, const Values&... values) {
  const int length = std::snprintf(nullptr, 0, format, values...);
  std::string printed(static_cast<std::size_t>(length > 0 ? length : 0), ' ');
  std::snprintf(printed.data(), printed.size() + 1, format, values...);
  return printed;
}

/// 1234567 as "1,234,567", rounded.
[[nodiscard]] inline std::string with_commas(double value) {
  std::string digits = text("%.0f", value);
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

}  // namespace compress_tokens
