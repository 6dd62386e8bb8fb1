// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/text/detail/bert_words.hpp"
#include "crate/text/detail/special_names.hpp"
#include "crate/text/detail/vocabulary.hpp"
#include "crate/text/token.hpp"

namespace crate {

struct WordPieceOptions {
  /// Whether to lower-case the text and remove accents, as for BERT's uncased vocabularies.
  bool lower_case = true;
  /// In characters; a longer word is [UNK]. 100 as in Hugging Face; google-research/bert has 200.
  Index longest_word = 100;

  void check() const { check_option(longest_word >= 1, "longest_word >= 1", longest_word); }
};

/// WordPiece as in BERT (google-research/bert, tokenization.py): control characters are removed, the text is split at
/// white space, punctuation and ideographs, and each word is divided, from its beginning, into the longest pieces in
/// the vocabulary; pieces that do not begin a word are written "##piece". A word that cannot be divided is [UNK]. White
/// space, control characters, accents and bytes that are not valid UTF-8 are lost.
class WordPiece {
 public:
  /// tokens[id] is the text of a token; if one occurs twice, the later id is used, as published. Throws VocabularyError
  /// unless [UNK] is among them.
  explicit WordPiece(std::vector<std::string> tokens, const WordPieceOptions& options = {});

  /// Gives no special tokens except [UNK].
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text) const;

  /// Encodes [CLS], [SEP], [PAD], [MASK] and [UNK] in the text as these tokens.
  [[nodiscard]] std::vector<TokenId> encode_with_special_tokens(std::string_view text) const {
    return detail::encode_between(special_tokens_, text, [this](std::string_view part) { return encode(part); });
  }

  /// The words, separated by spaces.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids) const { return detail::decode_each(*this, ids); }

  void append_text(TokenId id, std::string& text) const;

  [[nodiscard]] Index vocabulary_size() const { return static_cast<Index>(vocabulary_.size()); }
  [[nodiscard]] const SpecialTokens& special_tokens() const { return special_tokens_; }
  [[nodiscard]] const std::vector<std::string>& tokens() const { return vocabulary_.tokens(); }
  [[nodiscard]] const WordPieceOptions& options() const { return options_; }

 private:
  static constexpr std::string_view continues = "##";

  void encode_word(std::string_view word, std::vector<TokenId>& ids) const;
  [[nodiscard]] std::pair<TokenId, std::size_t> longest_piece(std::string_view rest, bool begins) const;

  detail::Vocabulary vocabulary_;
  WordPieceOptions options_;
  detail::Vocabulary continuing_;  // stored without their "##"
  std::vector<TokenId> continuing_ids_;
  std::size_t longest_piece_ = 0;  // in bytes
  SpecialTokens special_tokens_;
};

inline WordPiece::WordPiece(std::vector<std::string> tokens, const WordPieceOptions& options)
    : vocabulary_(std::move(tokens)), options_(options) {
  options_.check();
  std::vector<std::string> continuing;
  for (std::size_t id = 0; id < vocabulary_.size(); ++id) {
    const std::string_view token = vocabulary_.tokens()[id];
    longest_piece_ = std::max(longest_piece_, token.size());
    if (!token.starts_with(continues)) continue;
    continuing.emplace_back(token.substr(continues.size()));
    continuing_ids_.push_back(static_cast<TokenId>(id));
  }
  continuing_ = detail::Vocabulary(std::move(continuing));

  std::vector<std::pair<std::string, TokenId>> named;
  for (const std::string_view name : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})
    if (const TokenId id = vocabulary_.find(name); id != detail::Vocabulary::none) named.emplace_back(name, id);
  special_tokens_ = detail::special_tokens_named(std::move(named));
  if (!special_tokens_.unknown) throw VocabularyError("tokens: expected [UNK] among them, found none");
}

inline std::vector<TokenId> WordPiece::encode(std::string_view text) const {
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4);
  detail::BertWords words(options_.lower_case);
  words.for_each(text, [&](std::string_view word) { encode_word(word, ids); });
  return ids;
}

inline void WordPiece::encode_word(std::string_view word, std::vector<TokenId>& ids) const {
  const std::size_t begin = ids.size();
  const bool too_long = static_cast<Index>(detail::character_count(word)) > options_.longest_word;
  for (std::string_view rest = word; !rest.empty();) {
    const auto [id, size] = too_long ? std::pair(detail::Vocabulary::none, std::size_t{0})
                                     : longest_piece(rest, rest.size() == word.size());
    if (id == detail::Vocabulary::none) {
      ids.resize(begin);
      ids.push_back(*special_tokens_.unknown);
      return;
    }
    ids.push_back(id);
    rest.remove_prefix(size);
  }
}

/// The longest piece at the beginning of `rest`, and its size in bytes.
inline std::pair<TokenId, std::size_t> WordPiece::longest_piece(std::string_view rest, bool begins) const {
  for (std::size_t size = std::min(rest.size(), longest_piece_); size > 0; --size) {
    const std::string_view piece = rest.substr(0, size);
    const TokenId found = (begins ? vocabulary_ : continuing_).find(piece);
    if (found != detail::Vocabulary::none)
      return {begins ? found : continuing_ids_[static_cast<std::size_t>(found)], size};
  }
  return {detail::Vocabulary::none, 0};
}

inline void WordPiece::append_text(TokenId id, std::string& text) const {
  const std::string_view token = vocabulary_.at(id);
  if (token.starts_with(continues) && !text.empty()) {
    text += token.substr(continues.size());
    return;
  }
  if (!text.empty() && std::string_view(" \t\n\r").find(text.back()) == std::string_view::npos) text += ' ';
  text += token;
}

static_assert(TextTokeniser<WordPiece>);

}  // namespace crate
