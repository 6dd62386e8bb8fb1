// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace crate::detail {

inline constexpr char32_t replacement_character = 0xFFFD;

/// The beginning of a text: a UTF-8 character, or bytes that are not one.
struct Utf8Character {
  char32_t code;     ///< U+FFFD if the bytes are not a character
  std::size_t size;  ///< in bytes, at least 1
  bool valid;
  bool cut_off;  ///< the text ends within a possible character
};

/// The first character of a text of at least one byte. An invalid sequence comprises as many bytes as could have begun
/// a character, which Python and browsers replace by one U+FFFD (Unicode 15, 3.9, "maximal subparts").
[[nodiscard]] inline Utf8Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0x80U) return {first, 1, true, false};
  if (first < 0xC2U || first > 0xF4U) return {replacement_character, 1, false, false};

  const std::size_t size = first < 0xE0U ? 2 : first < 0xF0U ? 3 : 4;
  char32_t code = first & (0x7FU >> size);
  unsigned lowest = first == 0xE0U ? 0xA0U : first == 0xF0U ? 0x90U : 0x80U;   // excludes overlong forms,
  unsigned highest = first == 0xEDU ? 0x9FU : first == 0xF4U ? 0x8FU : 0xBFU;  // surrogates, above U+10FFFF
  for (std::size_t i = 1; i < size; ++i) {
    if (i == text.size()) return {replacement_character, i, false, true};
    if (byte(i) < lowest || byte(i) > highest) return {replacement_character, i, false, false};
    code = code << 6U | (byte(i) & 0x3FU);
    lowest = 0x80U;
    highest = 0xBFU;
  }
  return {code, size, true, false};
}

inline void append_utf8(char32_t code, std::string& text) {
  if (code < 0x80U) {
    text += static_cast<char>(code);
    return;
  }
  const unsigned more = code < 0x800U ? 1 : code < 0x10000U ? 2 : 3;  // number of bytes after the first
  text += static_cast<char>(static_cast<unsigned char>((0xF0U << (3 - more)) | code >> (6 * more)));
  for (unsigned left = more; left-- > 0;)
    text += static_cast<char>(static_cast<unsigned char>(0x80U | (code >> (6 * left) & 0x3FU)));
}

/// The Unicode notation, such as "U+00E9".
[[nodiscard]] inline std::string code_point_name(char32_t code) {
  std::string digits;
  for (; code != 0 || digits.size() < 4; code >>= 4U) digits.insert(0, 1, "0123456789ABCDEF"[code & 15U]);
  return "U+" + digits;
}

}  // namespace crate::detail
