// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/text/detail/utf8_character.hpp"
#include "crate/text/token.hpp"

namespace crate {

/// Each character (Unicode code point) is a token; the vocabulary consists of the characters of a given text, numbered
/// in the order of their code points, as in nanoGPT. Bytes that are not valid UTF-8 count as U+FFFD.
class CharacterTokeniser {
 public:
  /// With the characters of a text as vocabulary.
  explicit CharacterTokeniser(std::string_view text) : CharacterTokeniser(characters_in(text)) {}

  /// With this vocabulary: character i has id i. Throws VocabularyError if one occurs twice or is not a character.
  explicit CharacterTokeniser(std::vector<char32_t> characters);

  /// Throws VocabularyError on a character outside the vocabulary.
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text) const;

  [[nodiscard]] std::string decode(std::span<const TokenId> ids) const { return detail::decode_each(*this, ids); }

  void append_text(TokenId id, std::string& text) const {
    detail::check_token_id(id, characters_.size());
    detail::append_utf8(characters_[static_cast<std::size_t>(id)], text);
  }

  [[nodiscard]] Index vocabulary_size() const { return static_cast<Index>(characters_.size()); }
  [[nodiscard]] static SpecialTokens special_tokens() { return {}; }
  [[nodiscard]] const std::vector<char32_t>& characters() const { return characters_; }

 private:
  [[nodiscard]] static std::vector<char32_t> characters_in(std::string_view text);
  [[nodiscard]] TokenId find(char32_t character) const;

  std::vector<char32_t> characters_;
  std::vector<std::pair<char32_t, TokenId>> by_code_;  // sorted
  std::array<TokenId, 128> ascii_ = {};                // -1 for those outside the vocabulary
};

inline CharacterTokeniser::CharacterTokeniser(std::vector<char32_t> characters) : characters_(std::move(characters)) {
  ascii_.fill(-1);
  by_code_.reserve(characters_.size());
  for (std::size_t i = 0; i < characters_.size(); ++i) {
    if (characters_[i] > 0x10FFFF || (characters_[i] >= 0xD800 && characters_[i] <= 0xDFFF))
      throw VocabularyError(
          concatenate("characters: expected Unicode characters, found ", detail::code_point_name(characters_[i])));
    by_code_.emplace_back(characters_[i], static_cast<TokenId>(i));
    if (characters_[i] < ascii_.size()) ascii_[characters_[i]] = static_cast<TokenId>(i);
  }
  std::sort(by_code_.begin(), by_code_.end());
  const auto twin = std::adjacent_find(by_code_.begin(), by_code_.end(),
                                       [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twin != by_code_.end())
    throw VocabularyError(
        concatenate("characters: expected each once, found ", detail::code_point_name(twin->first), " twice"));
}

inline std::vector<char32_t> CharacterTokeniser::characters_in(std::string_view text) {
  std::vector<bool> found(0x110000);
  for (std::size_t i = 0; i < text.size();) {
    const auto character = detail::first_character(text.substr(i));
    found[character.code] = true;
    i += character.size;
  }
  std::vector<char32_t> characters;
  for (char32_t code = 0; code < found.size(); ++code)
    if (found[code]) characters.push_back(code);
  return characters;
}

inline TokenId CharacterTokeniser::find(char32_t character) const {
  if (character < ascii_.size()) return ascii_[character];
  const auto place = std::lower_bound(by_code_.begin(), by_code_.end(), std::pair(character, TokenId{0}));
  return place != by_code_.end() && place->first == character ? place->second : -1;
}

inline std::vector<TokenId> CharacterTokeniser::encode(std::string_view text) const {
  std::vector<TokenId> ids;
  ids.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto character = detail::first_character(text.substr(i));
    const TokenId id = find(character.code);
    if (id < 0)
      throw VocabularyError(concatenate("text: expected characters of a vocabulary of ", characters_.size(), ", found ",
                                        detail::code_point_name(character.code), " at byte ", i,
                                        character.code == U'\r' ? "; the text has line ends of Windows, which "
                                                                  "sed 's/\\r$//' converts"
                                                                : ""));
    ids.push_back(id);
    i += character.size;
  }
  return ids;
}

static_assert(TextTokeniser<CharacterTokeniser>);

}  // namespace crate
