// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace crate::detail {

/// The bytes of the character in UTF-8 that begins there; 0 if none does: half of a pair, longer than need be, or cut.
[[nodiscard]] inline std::size_t utf8_character_bytes(std::string_view text, std::size_t begin) {
  constexpr std::array<std::uint32_t, 4> smallest = {0, 0x80, 0x800, 0x10000};
  if (begin >= text.size()) return 0;
  const auto first = static_cast<unsigned char>(text[begin]);
  const std::size_t more = first < 0x80U ? 0 : first >> 5U == 6U ? 1 : first >> 4U == 14U ? 2 : 3;
  if ((more == 3 && first >> 3U != 30U) || text.size() - begin <= more) return 0;
  std::uint32_t code = more == 0 ? first : first & (0x3FU >> more);
  for (std::size_t k = 1; k <= more; ++k) {
    const auto next = static_cast<unsigned char>(text[begin + k]);
    if (next >> 6U != 2U) return 0;
    code = code << 6U | (next & 0x3FU);
  }
  if (code < smallest[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return 0;
  return more + 1;
}

/// Whether the bytes are characters in UTF-8, none of them half of a pair or longer than need be.
[[nodiscard]] inline bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t bytes = utf8_character_bytes(text, i);
    if (bytes == 0) return false;
    i += bytes;
  }
  return true;
}

/// Appends a character by its code, which is none of a half of a pair.
inline void append_utf8(std::string& text, std::uint32_t code) {
  const auto append = [&](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) return append(code);
  const std::uint32_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  append((0xFF00U >> (more + 1) & 0xFFU) | code >> 6 * more);
  for (std::uint32_t k = more; k-- > 0;) append(0x80U | (code >> 6 * k & 0x3FU));
}

/// The text, a replacement character (U+FFFD) in the place of what is none in UTF-8.
[[nodiscard]] inline std::string as_utf8(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (const std::size_t bytes = utf8_character_bytes(text, i); bytes > 0) {
      result += text.substr(i, bytes);
      i += bytes;
      continue;
    }
    append_utf8(result, 0xFFFD);
    const auto continues = [&] { return i < text.size() && static_cast<unsigned char>(text[i]) >> 6U == 2U; };
    for (++i; continues();) ++i;
  }
  return result;
}

}  // namespace crate::detail
