// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/text/detail/character_class.hpp"
#include "crate/text/token.hpp"

namespace crate::detail {

/// The text without white space at its end.
[[nodiscard]] inline std::string_view without_blanks_behind(std::string_view text) {
  while (!text.empty()) {
    std::size_t last = text.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(text[last]) & 0xC0U) == 0x80U) --last;
    const ClassifiedCharacter character = classify_first(text.substr(last));
    if (character.kind != CharacterClass::space || last + character.size != text.size()) break;
    text.remove_suffix(character.size);
  }
  return text;
}

/// The special tokens of a vocabulary, with their roles as far as their names are the usual ones.
[[nodiscard]] inline SpecialTokens special_tokens_named(std::vector<std::pair<std::string, TokenId>> named) {
  SpecialTokens tokens;
  tokens.named = std::move(named);
  const auto find = [&](std::string_view bert, std::string_view roberta) {
    const auto id = tokens.find(bert);
    return id ? id : tokens.find(roberta);
  };
  tokens.sentence_begin = find("[CLS]", "<s>");
  tokens.sentence_end = find("[SEP]", "</s>");
  tokens.padding = find("[PAD]", "<pad>");
  tokens.mask = find("[MASK]", "<mask>");
  tokens.unknown = find("[UNK]", "<unk>");
  tokens.end_of_text = tokens.find("<|endoftext|>");
  return tokens;
}

/// Encodes the names of special tokens in a text as these tokens, the longest if several begin at one place, and the
/// text between them by `encode`. The mask absorbs the white space before it, as in Hugging Face (AddedToken.lstrip).
template <class Encode>
[[nodiscard]] std::vector<TokenId> encode_between(const SpecialTokens& special, std::string_view text,
                                                  const Encode& encode) {
  std::string beginnings;
  for (const auto& [name, id] : special.named) beginnings += name.substr(0, 1);
  std::vector<TokenId> ids;
  const auto append_encoded = [&](std::string_view part) {
    const std::vector<TokenId> of_part = encode(part);
    ids.insert(ids.end(), of_part.begin(), of_part.end());
  };

  std::size_t begin = 0;
  for (std::size_t i = text.find_first_of(beginnings); i < text.size();) {
    const std::pair<std::string, TokenId>* longest = nullptr;
    for (const auto& entry : special.named)
      if (!entry.first.empty() && text.substr(i).starts_with(entry.first) &&
          (longest == nullptr || longest->first.size() < entry.first.size()))
        longest = &entry;
    if (longest != nullptr) {
      const std::string_view before = text.substr(begin, i - begin);
      append_encoded(longest->second == special.mask ? without_blanks_behind(before) : before);
      ids.push_back(longest->second);
      begin = i + longest->first.size();
    }
    i = text.find_first_of(beginnings, longest != nullptr ? begin : i + 1);
  }
  append_encoded(text.substr(begin));
  return ids;
}

}  // namespace crate::detail
