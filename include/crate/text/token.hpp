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

/// What stands for a piece of text in a language model: 0 <= id < vocabulary size.
using TokenId = std::int32_t;

/// Neighbours that byte-pair encoding may make one token.
struct TokenPair {
  TokenId left, right;
  friend bool operator==(const TokenPair&, const TokenPair&) = default;
  friend bool operator<(const TokenPair& a, const TokenPair& b) {
    return a.left != b.left ? a.left < b.left : a.right < b.right;
  }
};

/// A text holds a character, or a list of ids an id, that a vocabulary does not have.
class VocabularyError : public Error {
 public:
  using Error::Error;
};

/// The tokens of a vocabulary that stand for no text, but for what a model is to know about it. No text encodes to them
/// unless it is asked for.
struct SpecialTokens {
  std::vector<std::pair<std::string, TokenId>> named;  ///< all of them, with the names that decoding shows

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

/// A tokeniser: a value that turns text into ids and back. Every text encodes, whatever its bytes, but where the
/// tokeniser says otherwise; a tokeniser may be used from many threads at once.
/// Satisfied by ByteTokeniser, CharacterTokeniser, ByteLevelBpe, WordPiece and Tokeniser, which is any of them.
template <class T>
concept TextTokeniser = requires(const T& tokeniser, std::string_view text, std::span<const TokenId> ids,
                                 std::string& out, TokenId id) {
  { tokeniser.encode(text) } -> std::same_as<std::vector<TokenId>>;
  { tokeniser.decode(ids) } -> std::same_as<std::string>;
  { tokeniser.vocabulary_size() } -> std::same_as<Index>;
  { tokeniser.special_tokens() } -> std::convertible_to<SpecialTokens>;
  tokeniser.append_text(id, out);  // what `id` adds behind the ids whose text `out` is
};

namespace detail {

inline void check_token_id(TokenId id, std::size_t vocabulary_size) {
  if (id < 0 || static_cast<std::size_t>(id) >= vocabulary_size)
    throw VocabularyError(concatenate("token id: expected 0 to ", vocabulary_size - 1, ", found ", id));
}

/// The text of ids, one after another.
template <class T>
[[nodiscard]] std::string decode_each(const T& tokeniser, std::span<const TokenId> ids) {
  std::string text;
  text.reserve(4 * ids.size());
  for (const TokenId id : ids) tokeniser.append_text(id, text);
  return text;
}

}  // namespace detail

}  // namespace crate
