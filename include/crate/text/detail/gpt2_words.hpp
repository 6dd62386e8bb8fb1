// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), in addition to Eigen.
#pragma once

#include <cstddef>
#include <string_view>

#include "crate/text/detail/character_class.hpp"

// The words that GPT-2 encodes one by one: the matches of the published pattern
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// (openai/gpt-2, src/encoder.py).

namespace crate::detail {

/// The size of 's 't 're 've 'm 'll or 'd in bytes if the text begins with one of them, otherwise 0.
[[nodiscard]] inline std::size_t contraction_size(std::string_view text) {
  if (text[0] != '\'' || text.size() < 2) return 0;
  const char first = text[1];
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const std::string_view two = text.substr(1, 2);
  return two == "re" || two == "ve" || two == "ll" ? 3 : 0;
}

/// The end of the run of characters of one class that starts at `begin`.
[[nodiscard]] inline std::size_t end_of_run(std::string_view text, std::size_t begin, CharacterClass kind) {
  while (begin < text.size()) {
    const auto [found, size] = classify_first(text.substr(begin));
    if (found != kind) break;
    begin += size;
  }
  return begin;
}

/// The size of the leading white space in bytes; without its last character if there are several and a word follows.
[[nodiscard]] inline std::size_t white_space_size(std::string_view text) {
  std::size_t end = 0, last = 0;
  while (end < text.size()) {
    const auto [found, size] = classify_first(text.substr(end));
    if (found != CharacterClass::space) return last > 0 ? last : end;
    last = end;
    end += size;
  }
  return end;
}

/// The size in bytes of the first word of a text that is not empty.
[[nodiscard]] inline std::size_t gpt2_word_size(std::string_view text) {
  if (const std::size_t size = contraction_size(text)) return size;
  const std::size_t blank = text[0] == ' ' && text.size() > 1 ? 1 : 0;
  const auto [kind, size] = classify_first(text.substr(blank));
  if (kind == CharacterClass::space) return white_space_size(text);
  return end_of_run(text, blank + size, kind);
}

}  // namespace crate::detail
