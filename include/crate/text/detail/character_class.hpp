// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), in addition to Eigen.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utf8proc.h>

#include "crate/text/detail/utf8_character.hpp"

namespace crate::detail {

/// The classes of GPT-2's pattern: \p{L}, \p{N}, \s, and the rest, including bytes that are not valid UTF-8.
enum class CharacterClass : unsigned char { letter, number, space, other };

[[nodiscard]] inline CharacterClass find_class(char32_t code) {
  constexpr char32_t next_line = 0x85;
  if ((code >= '\t' && code <= '\r') || code == next_line) return CharacterClass::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharacterClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharacterClass::number;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharacterClass::space;
    default:
      return CharacterClass::other;
  }
}

/// The classes of ASCII characters.
inline constexpr auto ascii_classes = [] {
  std::array<CharacterClass, 128> classes{};
  for (std::size_t code = 0; code < classes.size(); ++code) {
    const bool letter = (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
    const bool space = code == ' ' || (code >= '\t' && code <= '\r');
    const bool digit = code >= '0' && code <= '9';
    classes[code] = letter  ? CharacterClass::letter
                    : digit ? CharacterClass::number
                    : space ? CharacterClass::space
                            : CharacterClass::other;
  }
  return classes;
}();

struct ClassifiedCharacter {
  CharacterClass kind;
  std::size_t size;  ///< in bytes
};

/// Classifies the first character of a text of at least one byte.
[[nodiscard]] inline ClassifiedCharacter classify_first(std::string_view text) {
  const auto byte = static_cast<unsigned char>(text[0]);
  if (byte < ascii_classes.size()) return {ascii_classes[byte], 1};
  const Utf8Character character = first_character(text);
  return {find_class(character.code), character.size};
}

}  // namespace crate::detail
