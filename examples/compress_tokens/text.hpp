// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>

#include "crate/core/errors.hpp"

namespace compress_tokens {

/// The value. Throws PrecisionError, which names the quantity, unless it is finite: nothing else is printed or written.
[[nodiscard]] inline double finite(std::string_view quantity, double value) {
  if (!std::isfinite(value))
    throw crate::PrecisionError(crate::concatenate(quantity, ": expected a finite number, found ", value));
  return value;
}

/// The words of the format before its first number, which name what is printed.
[[nodiscard]] inline std::string_view quantity_of(std::string_view format) {
  format = format.substr(0, format.find('%'));
  constexpr std::string_view no_words = " \n=:(";
  const std::size_t begin = std::min(format.find_first_not_of(no_words), format.size());
  format = format.substr(begin, format.find_last_not_of(no_words) + 1 - begin);
  return format.empty() ? "a printed number" : format;
}

template <class Value>
void check_printable(const char* format, const Value& value) {
  if constexpr (std::is_floating_point_v<Value>) static_cast<void>(finite(quantity_of(format), value));
}

/// What printf would print. Throws PrecisionError if a value is not finite: name those that may be by `finite`.
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
