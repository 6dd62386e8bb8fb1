// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// The id of a token, i.e. a piece of text, in a language model: 0 <= id < vocabulary size.
using TokenId = std::int32_t;

/// Two adjacent tokens that byte-pair encoding can merge.
struct TokenPair {
  TokenId left, right;
  friend bool operator==(const TokenPair&, const TokenPair&) = default;
  friend bool operator<(const TokenPair& a, const TokenPair& b) {
    return a.left != b.left ? a.left < b.left : a.right < b.right;
  }
};

/// A text has a character, or a list of ids an id, outside the vocabulary.
class VocabularyError : public Error {
 public:
  using Error::Error;
};

/// Special tokens, such as [CLS], which mark something for the model and are not part of a text. Text is never encoded
/// to them unless this is requested.
struct SpecialTokens {
  std::vector<std::pair<std::string, TokenId>> named;  ///< all of them, with the names that decoding gives

  std::optional<TokenId> sentence_begin;  ///< [CLS], <s>
  std::optional<TokenId> sentence_end;    ///< [SEP], </s>
  std::optional<TokenId> padding;         ///< [PAD], <pad>
  std::optional<TokenId> mask;            ///< [MASK], <mask>
  std::optional<TokenId> unknown;         ///< [UNK], <unk>
  std::optional<TokenId> end_of_text;     ///< <|endoftext|>, between documents

  [[nodiscard]] std::optional<TokenId> find(std::string_view name) const {
    for (const auto& [own, id] : named)
      if (own == name) return id;
    return std::nullopt;
  }
};

/// A tokeniser: a value that turns text into ids and back. Any bytes can be encoded, unless the tokeniser documents an
/// exception; several threads may use one tokeniser at the same time.
/// Satisfied by ByteTokeniser, CharacterTokeniser, ByteLevelBpe, WordPiece and Tokeniser, which is any of them.
template <class T>
concept TextTokeniser = requires(const T& tokeniser, std::string_view text, std::span<const TokenId> ids,
                                 std::string& out, TokenId id) {
  { tokeniser.encode(text) } -> std::same_as<std::vector<TokenId>>;
  { tokeniser.decode(ids) } -> std::same_as<std::string>;
  { tokeniser.vocabulary_size() } -> std::same_as<Index>;
  { tokeniser.special_tokens() } -> std::convertible_to<SpecialTokens>;
  tokeniser.append_text(id, out);  // the text of `id` after the ids with the text `out`
};

namespace detail {

inline void check_token_id(TokenId id, std::size_t vocabulary_size) {
  if (id < 0 || static_cast<std::size_t>(id) >= vocabulary_size)
    throw VocabularyError(concatenate("token id: expected 0 to ", vocabulary_size - 1, ", found ", id));
}

/// The text of ids, decoded one after another.
template <class T>
[[nodiscard]] std::string decode_each(const T& tokeniser, std::span<const TokenId> ids) {
  std::string text;
  text.reserve(4 * ids.size());
  for (const TokenId id : ids) tokeniser.append_text(id, text);
  return text;
}

}  // namespace detail

}  // namespace crate
