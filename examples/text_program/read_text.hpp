// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <istream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>

#include "crate/core/detail/count_of.hpp"
#include "crate/io/formats/detail/maybe_gzip.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/text_file.hpp"
#include "crate/text/character_tokeniser.hpp"
#include "crate/text/detail/utf8_character.hpp"
#include "crate/text/tokeniser.hpp"

// The texts that programs read.

namespace text_program {

namespace detail {

[[nodiscard]] inline std::string read_all(std::istream& stream) {
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

[[nodiscard]] inline std::string read_bytes(const std::string& path) {
  std::error_code unknown;
  if (path == "-") return read_all(std::cin);
  if (!std::filesystem::is_fifo(path, unknown)) return crate::detail::read_unpacked(path);
  std::ifstream pipe(path, std::ios::binary);
  if (!pipe) throw crate::file_error(path, "cannot be read");
  return read_all(pipe);
}

}  // namespace detail

/// The text of a file, unpacked if it is a gzip file, of a pipe, or of standard input, which is called "-", without a
/// byte order mark; it may be empty.
[[nodiscard]] inline std::string read_any_text(const std::string& path) {
  const std::string text = detail::read_bytes(path);
  return std::string(crate::detail::without_byte_order_mark(text));
}

/// The same. Throws FileError if it is empty.
[[nodiscard]] inline std::string read_text(const std::string& path) {
  std::string text = read_any_text(path);
  if (text.empty()) throw crate::file_error(path, "expected a text, found an empty file");
  return text;
}

/// Reports on standard error how many bytes of a text are not UTF-8 and are replaced by a character tokeniser.
inline void warn_of_replaced_bytes(const crate::Tokeniser& tokeniser, std::string_view text, const std::string& path) {
  if (!std::holds_alternative<crate::CharacterTokeniser>(tokeniser.any())) return;
  std::size_t count = 0, first = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto character = crate::detail::first_character(text.substr(i));
    if (!character.valid && count == 0) first = i;
    if (!character.valid) count += character.size;
    i += character.size;
  }
  if (count > 0)
    std::cerr << (path == "-" ? "standard input" : path) << ": " << crate::detail::count_of(count, "byte")
              << (count == 1 ? " is" : " are") << " not UTF-8, the first at byte " << first
              << ", and replaced by U+FFFD\n";
}

}  // namespace text_program
