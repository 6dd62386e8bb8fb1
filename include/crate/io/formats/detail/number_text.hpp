// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace crate::detail {

/// The shortest text that reads back as the same number.
template <class Number>
[[nodiscard]] std::string number_text(Number number) {
  std::array<char, 32> text{};
  const char* const end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return {static_cast<const char*>(text.data()), end};
}

/// The number that a text is, all of it.
template <class Number>
[[nodiscard]] std::optional<Number> number_from_text(std::string_view text) {
  Number number{};
  const char* const text_end = text.data() + text.size();
  const auto [end, failure] = std::from_chars(text.data(), text_end, number);
  if (failure != std::errc() || end != text_end) return std::nullopt;
  return number;
}

}  // namespace crate::detail
