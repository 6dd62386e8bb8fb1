// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/io/formats/detail/utf8.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

// Notes in the metadata of a checkpoint. A text that is not valid UTF-8, as the path of a folder may be, cannot be
// stored in a safetensors file: it is percent-encoded and stored under another prefix. All other notes stay as they
// are.

namespace crate::detail {

inline constexpr std::string_view note_prefix = "note: ";
inline constexpr std::string_view encoded_note_prefix = "percent-encoded note: ";

/// The text in ASCII: '%' and every byte above 126 become '%' and two hexadecimal digits.
[[nodiscard]] inline std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c != '%' && byte < 0x7FU)
      encoded += c;
    else
      encoded += {'%', digits[byte >> 4U], digits[byte & 15U]};
  }
  return encoded;
}

/// The inverse of percent_encoded. Throws Error if the text is not such an encoding.
[[nodiscard]] inline std::string percent_decoded(std::string_view encoded) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string text;
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    if (encoded[i] != '%') {
      text += encoded[i];
      continue;
    }
    const std::string_view code = encoded.substr(i, 3);
    const std::size_t high = code.size() == 3 ? digits.find(code[1]) : std::string_view::npos;
    const std::size_t low = code.size() == 3 ? digits.find(code[2]) : std::string_view::npos;
    if (high == std::string_view::npos || low == std::string_view::npos)
      throw Error(concatenate("expected '%' and two hexadecimal digits, found ", quote(code)));
    text += static_cast<char>(high << 4U | low);
    i += 2;
  }
  return text;
}

/// The metadata entry of a note.
[[nodiscard]] inline std::pair<std::string, std::string> entry_of_note(std::string_view name, const std::string& text) {
  if (is_utf8(text)) return {concatenate(note_prefix, name), text};
  return {concatenate(encoded_note_prefix, name), percent_encoded(text)};
}

/// All notes in the metadata of a checkpoint. Throws FileError if one does not have the form of entry_of_note.
[[nodiscard]] inline Metadata notes_of(const TensorTable& file) {
  Metadata notes;
  for (const auto& [key, text] : file.metadata()) {
    if (key.starts_with(note_prefix)) notes.emplace_back(key.substr(note_prefix.size()), text);
    if (!key.starts_with(encoded_note_prefix)) continue;
    try {
      notes.emplace_back(key.substr(encoded_note_prefix.size()), percent_decoded(text));
    } catch (const Error& error) { throw file_error(file.source(), "metadata ", quote(key), ": ", error.what()); }
  }
  return notes;
}

}  // namespace crate::detail
