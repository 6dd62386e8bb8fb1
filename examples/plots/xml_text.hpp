// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include "crate/io/formats/detail/utf8.hpp"

// Words and numbers as they stand in a file of SVG.

namespace plots {

/// The words with what means something in XML escaped, and what is no XML (bytes that are no UTF-8, control
/// characters) replaced by U+FFFD.
[[nodiscard]] inline std::string xml_text(std::string_view words) {
  std::string text;
  while (!words.empty()) {
    const auto first = static_cast<unsigned char>(words.front());
    const std::string_view character = words.substr(0, first < 0x80U ? 1 : first < 0xE0U ? 2 : first < 0xF0U ? 3 : 4);
    const bool is_control = first < 0x20U || first == 0x7FU;
    const bool is_xml = crate::detail::is_utf8(character) && character != "\xEF\xBF\xBE" && character != "\xEF\xBF\xBF";
    if (is_control || !is_xml)
      text += "\xEF\xBF\xBD";
    else if (first == '&')
      text += "&amp;";
    else if (first == '<')
      text += "&lt;";
    else if (first == '>')
      text += "&gt;";
    else if (first == '"')
      text += "&quot;";
    else
      text += character;
    words.remove_prefix(is_xml ? character.size() : 1);
  }
  return text;
}

/// The number with so many digits behind the point, whatever the locale.
[[nodiscard]] inline std::string fixed(double value, int digits) {
  std::array<char, 400> text;  // the largest double has 309 digits before the point
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, digits);
  return {text.data(), error == std::errc() ? end : text.data()};
}

/// Without the zeros at the end of its decimals.
[[nodiscard]] inline std::string without_trailing_zeros(std::string number) {
  if (number.find('.') == std::string::npos) return number;
  while (number.ends_with('0')) number.pop_back();
  if (number.ends_with('.')) number.pop_back();
  return number;
}

/// In pixels, to a hundredth.
[[nodiscard]] inline std::string coordinate(double value) {
  const std::string text = without_trailing_zeros(fixed(value, 2));
  return text == "-0" ? "0" : text;
}

/// The characters of the words, of which none is a continuation byte of UTF-8.
[[nodiscard]] inline std::size_t length(std::string_view words) {
  std::size_t count = 0;
  for (const char c : words) count += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
  return count;
}

/// About how many pixels the words take, in a sans-serif font of this size.
[[nodiscard]] inline double width_of(std::string_view words, double font_size) {
  return 0.56 * font_size * static_cast<double>(length(words));
}

}  // namespace plots
