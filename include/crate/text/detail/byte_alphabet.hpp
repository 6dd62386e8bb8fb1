// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "crate/text/detail/utf8_character.hpp"

namespace crate::detail {

/// How vocabularies of byte-level tokenisers write bytes as visible characters: visible Latin-1 characters stand
/// for themselves, and the other bytes, in their order, are U+0100 and following; a space is U+0120.
/// (openai/gpt-2, bytes_to_unicode.)
struct ByteAlphabet {
  std::array<char32_t, 256> characters{};            ///< by byte
  std::array<short, 0x144> bytes{};                  ///< by character; -1 if it stands for no byte
  std::array<unsigned char, 256> in_order_of_ids{};  ///< the bytes of ids 0 to 255 in GPT-2's vocabulary

  constexpr ByteAlphabet() {
    bytes.fill(-1);
    std::size_t id = 0;
    for (std::size_t byte = 0; byte < 256; ++byte)
      if (is_seen(byte)) add(byte, static_cast<char32_t>(byte), id++);
    for (std::size_t byte = 0, code = 0x100; byte < 256; ++byte)
      if (!is_seen(byte)) add(byte, static_cast<char32_t>(code++), id++);
  }

 private:
  [[nodiscard]] static constexpr bool is_seen(std::size_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  }
  constexpr void add(std::size_t byte, char32_t character, std::size_t id) {
    characters[byte] = character;
    bytes[character] = static_cast<short>(byte);
    in_order_of_ids[id] = static_cast<unsigned char>(byte);
  }
};

inline constexpr ByteAlphabet byte_alphabet;

/// Bytes in the notation of a vocabulary.
[[nodiscard]] inline std::string text_of_bytes(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_utf8(byte_alphabet.characters[static_cast<unsigned char>(byte)], text);
  return text;
}

/// The inverse of text_of_bytes; nothing if a character stands for no byte.
[[nodiscard]] inline std::optional<std::string> bytes_of_text(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const Utf8Character next = first_character(text);
    if (next.code >= byte_alphabet.bytes.size() || byte_alphabet.bytes[next.code] < 0) return std::nullopt;
    bytes += static_cast<char>(static_cast<unsigned char>(byte_alphabet.bytes[next.code]));
    text.remove_prefix(next.size);
  }
  return bytes;
}

}  // namespace crate::detail
