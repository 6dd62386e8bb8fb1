// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), in addition to Eigen.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "crate/text/byte_level_bpe.hpp"
#include "crate/text/byte_tokeniser.hpp"
#include "crate/text/character_tokeniser.hpp"
#include "crate/text/token.hpp"
#include "crate/text/word_piece.hpp"

namespace crate {

/// One of the tokenisers, chosen at run time.
class Tokeniser {
 public:
  using Any = std::variant<ByteTokeniser, CharacterTokeniser, ByteLevelBpe, WordPiece>;

  Tokeniser(Any any) : any_(std::move(any)) {}  // NOLINT(google-explicit-constructor): it is any of them

  [[nodiscard]] std::vector<TokenId> encode(std::string_view text) const {
    return std::visit([&](const auto& tokeniser) { return tokeniser.encode(text); }, any_);
  }

  /// Encodes names of special tokens in the text as these tokens, if the tokeniser has any.
  [[nodiscard]] std::vector<TokenId> encode_with_special_tokens(std::string_view text) const;

  [[nodiscard]] std::string decode(std::span<const TokenId> ids) const {
    return std::visit([&](const auto& tokeniser) { return tokeniser.decode(ids); }, any_);
  }

  void append_text(TokenId id, std::string& text) const {
    std::visit([&](const auto& tokeniser) { tokeniser.append_text(id, text); }, any_);
  }

  [[nodiscard]] Index vocabulary_size() const {
    return std::visit([](const auto& tokeniser) { return tokeniser.vocabulary_size(); }, any_);
  }

  [[nodiscard]] SpecialTokens special_tokens() const {
    return std::visit([](const auto& tokeniser) -> SpecialTokens { return tokeniser.special_tokens(); }, any_);
  }

  [[nodiscard]] const Any& any() const { return any_; }

 private:
  Any any_;
};

inline std::vector<TokenId> Tokeniser::encode_with_special_tokens(std::string_view text) const {
  return std::visit(
      [&](const auto& tokeniser) {
        if constexpr (requires { tokeniser.encode_with_special_tokens(text); })
          return tokeniser.encode_with_special_tokens(text);
        else
          return tokeniser.encode(text);
      },
      any_);
}

/// Adds the tokens of a sentence that published classifiers expect: [CLS] ids [SEP], or <s> ids </s>. Throws
/// VocabularyError if the tokeniser lacks them.
template <TextTokeniser T>
[[nodiscard]] std::vector<TokenId> in_sentence(const T& tokeniser, std::vector<TokenId> ids) {
  const SpecialTokens special = tokeniser.special_tokens();
  if (!special.sentence_begin || !special.sentence_end)
    throw VocabularyError("sentence: expected tokens [CLS] and [SEP], or <s> and </s>, found none in the vocabulary");
  ids.insert(ids.begin(), *special.sentence_begin);
  ids.push_back(*special.sentence_end);
  return ids;
}

static_assert(TextTokeniser<Tokeniser>);

}  // namespace crate
