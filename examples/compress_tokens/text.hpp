// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <type_traits>

#include "crate/core/errors.hpp"

namespace compress_tokens {

/// Throws PrecisionError if the value is a number and not finite: nothing of that kind is printed or written.
template <class Value>
void check_printable(const char* format, const Value& value) {
  if constexpr (std::is_floating_point_v<Value>)
    if (!std::isfinite(value))
      throw crate::PrecisionError(
          crate::concatenate("expected a finite number to print in '", format, "', found ", value));
}

/// What printf would print. Throws PrecisionError if a value is not finite.
template <class... Values>
[[nodiscard]] std::string text(const char* format, const Values&... values) {
  (check_printable(format, values), ...);
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
