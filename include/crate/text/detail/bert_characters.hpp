// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <utf8proc.h>
#include <vector>

#include "crate/text/detail/utf8_character.hpp"

// How BERT's published tokeniser classifies and lower-cases characters (google-research/bert, tokenization.py).

namespace crate::detail {

[[nodiscard]] inline utf8proc_category_t category_of(char32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

/// The role of a character in splitting words.
enum class BertCharacter : unsigned char { dropped, blank, ideograph, other };

/// Ideographs of Chinese, Japanese and Korean, each a separate word.
[[nodiscard]] inline bool is_ideograph(char32_t code) {
  return (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3400 && code <= 0x4DBF) ||
         (code >= 0x20000 && code <= 0x2A6DF) || (code >= 0x2A700 && code <= 0x2CEAF) ||
         (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x2F800 && code <= 0x2FA1F);
}

/// Dropped are U+FFFD, which stands for bytes that are not valid UTF-8, and all of category C: control and
/// format characters and, as in Hugging Face's Python code, unassigned code points. Blanks are tab,
/// newline, return and category Z.
[[nodiscard]] inline BertCharacter find_bert_character(char32_t code) {
  if (code == ' ' || code == '\t' || code == '\n' || code == '\r') return BertCharacter::blank;
  if (code < 0x7F) return code < ' ' ? BertCharacter::dropped : BertCharacter::other;
  if (code == replacement_character) return BertCharacter::dropped;
  switch (category_of(code)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return BertCharacter::blank;
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
      return BertCharacter::dropped;
    default:
      return is_ideograph(code) ? BertCharacter::ideograph : BertCharacter::other;
  }
}

/// Category P, and all symbols of ASCII.
[[nodiscard]] inline bool is_bert_punctuation(char32_t code) {
  if (code < 0x80U)
    return (code >= 33 && code <= 47) || (code >= 58 && code <= 64) || (code >= 91 && code <= 96) ||
           (code >= 123 && code <= 126);
  const utf8proc_category_t category = category_of(code);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/// Unicode's Cased: letters with case, and others that have a lower or an upper form.
[[nodiscard]] inline bool is_cased(char32_t code) {
  const utf8proc_category_t category = category_of(code);
  const auto signed_code = static_cast<utf8proc_int32_t>(code);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT) || utf8proc_islower(signed_code) != 0 ||
         utf8proc_isupper(signed_code) != 0 || code == 0xAA || code == 0xBA;
}

/// Unicode's Case_Ignorable: characters that may occur within a word of letters.
[[nodiscard]] inline bool is_case_ignorable(char32_t code) {
  constexpr std::array<char32_t, 17> signs = {'\'',   '.',    ':',    0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                              0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  switch (category_of(code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return std::find(signs.begin(), signs.end(), code) != signs.end();
  }
}

inline constexpr char32_t capital_sigma = 0x3A3, small_sigma = 0x3C3, final_sigma = 0x3C2;

/// Whether the letter at `place` is the last of a word of letters, which decides between the two lower-case forms of
/// sigma (Unicode 15, 3.13, Final_Sigma; as in Python's str.lower).
[[nodiscard]] inline bool ends_letters(const std::vector<char32_t>& word, std::size_t place) {
  std::size_t before = place, after = place + 1;
  while (before > 0 && is_case_ignorable(word[before - 1])) --before;
  if (before == 0 || !is_cased(word[before - 1])) return false;
  while (after < word.size() && is_case_ignorable(word[after])) ++after;
  return after == word.size() || !is_cased(word[after]);
}

[[nodiscard]] inline bool is_ascii(const std::vector<char32_t>& word) {
  return std::all_of(word.begin(), word.end(), [](char32_t code) { return code < 0x80; });
}

inline void lower_case_ascii(std::vector<char32_t>& word) {
  for (char32_t& code : word) code += code >= 'A' && code <= 'Z' ? 'a' - 'A' : 0;
}

/// Lower-cases a word.
inline void lower_case(const std::vector<char32_t>& word, std::vector<char32_t>& lower) {
  lower.clear();
  for (std::size_t i = 0; i < word.size(); ++i)
    lower.push_back(word[i] == capital_sigma && ends_letters(word, i)
                        ? final_sigma
                        : static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(word[i]))));
}

/// Appends the canonical decomposition of a character.
inline void append_decomposed(char32_t code, std::vector<char32_t>& text) {
  std::array<utf8proc_int32_t, 8> parts;
  int boundary = 0;
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts.data(),
                              static_cast<utf8proc_ssize_t>(parts.size()), UTF8PROC_DECOMPOSE, &boundary);
  for (utf8proc_ssize_t i = 0; i < count; ++i)
    text.push_back(static_cast<char32_t>(parts[static_cast<std::size_t>(i)]));
}

[[nodiscard]] inline auto combining_class(char32_t code) {
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(code))->combining_class;
}

/// Sorts the marks between two starters into their canonical order: each run of non-zero combining classes by class.
inline void order_marks(std::vector<char32_t>& text) {
  const auto is_starter = [](char32_t code) { return combining_class(code) == 0; };
  for (auto begin = text.begin(); begin != text.end();) {
    begin = std::find_if_not(begin, text.end(), is_starter);
    const auto end = std::find_if(begin, text.end(), is_starter);
    std::stable_sort(begin, end, [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

/// Removes the accents of a word: canonical decomposition (NFD) without category Mn.
inline void strip_accents(const std::vector<char32_t>& word, std::vector<char32_t>& stripped) {
  stripped.clear();
  for (const char32_t code : word) append_decomposed(code, stripped);
  order_marks(stripped);
  std::erase_if(stripped, [](char32_t code) { return category_of(code) == UTF8PROC_CATEGORY_MN; });
}

}  // namespace crate::detail
