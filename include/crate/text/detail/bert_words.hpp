// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "crate/text/detail/bert_characters.hpp"
#include "crate/text/detail/utf8_character.hpp"

namespace crate::detail {

/// The number of characters of a UTF-8 text.
[[nodiscard]] inline std::size_t character_count(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }));
}

/// Splits texts into the words that BERT divides into pieces: cleaned, split at white space, ideographs and
/// punctuation, and optionally lower-cased and without accents.
class BertWords {
 public:
  explicit BertWords(bool lower_case) : lower_case_(lower_case) {}

  /// Calls take(word) for each word, in UTF-8.
  template <class Take>
  void for_each(std::string_view text, const Take& take) {
    while (!text.empty()) {
      const Utf8Character next = first_character(text);
      text.remove_prefix(next.size);
      const BertCharacter kind = find_bert_character(next.code);
      if (kind == BertCharacter::dropped) continue;
      if (kind != BertCharacter::other) part(take);
      if (kind != BertCharacter::blank) word_.push_back(next.code);
      if (kind == BertCharacter::ideograph) part(take);
    }
    part(take);
  }

 private:
  /// Splits the characters since the last white space into words and passes these to take.
  template <class Take>
  void part(const Take& take) {
    if (word_.empty()) return;
    if (lower_case_) lower_and_strip();
    for (const char32_t code : word_) {
      const bool alone = is_bert_punctuation(code);
      if (alone) hand_on(take);
      append_utf8(code, bytes_);
      if (alone) hand_on(take);
    }
    hand_on(take);
    word_.clear();
  }

  void lower_and_strip() {
    if (is_ascii(word_)) return lower_case_ascii(word_);
    lower_case(word_, lower_);
    strip_accents(lower_, word_);
  }

  template <class Take>
  void hand_on(const Take& take) {
    if (!bytes_.empty()) take(std::string_view(bytes_));
    bytes_.clear();
  }

  bool lower_case_;
  std::vector<char32_t> word_, lower_;
  std::string bytes_;
};

}  // namespace crate::detail
