// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/text/detail/byte_pairs.hpp"
#include "crate/text/detail/gpt2_words.hpp"
#include "crate/text/detail/special_names.hpp"
#include "crate/text/detail/vocabulary.hpp"
#include "crate/text/token.hpp"

namespace crate {

/// Byte-level byte-pair encoding as in GPT-2 and RoBERTa (openai/gpt-2, src/encoder.py): GPT-2's pattern splits the
/// text into words; in each word adjacent tokens, initially bytes, are merged in the order of their rank. Any bytes can
/// be encoded, and are decoded exactly; bytes that are not valid UTF-8 count as symbols.
class ByteLevelBpe {
 public:
  /// tokens[id] holds the bytes of a token; merge i has rank i. A token that is neither a byte nor the result of a
  /// merge is a special token. Throws VocabularyError unless tokens and merges are unique, all 256 bytes are tokens,
  /// and the result of every merge is a token.
  ByteLevelBpe(std::vector<std::string> tokens, std::vector<TokenPair> merges);

  /// Takes O(n log n) for any word of n bytes.
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text) const;

  /// Encodes names of special tokens in the text, such as <|endoftext|>, as these tokens.
  [[nodiscard]] std::vector<TokenId> encode_with_special_tokens(std::string_view text) const {
    return detail::encode_between(special_tokens_, text, [this](std::string_view part) { return encode(part); });
  }

  /// The bytes of the tokens; for special tokens their names.
  [[nodiscard]] std::string decode(std::span<const TokenId> ids) const { return detail::decode_each(*this, ids); }

  void append_text(TokenId id, std::string& text) const { text += vocabulary_.at(id); }

  [[nodiscard]] Index vocabulary_size() const { return static_cast<Index>(vocabulary_.size()); }
  [[nodiscard]] const SpecialTokens& special_tokens() const { return special_tokens_; }
  [[nodiscard]] const std::vector<std::string>& tokens() const { return vocabulary_.tokens(); }
  [[nodiscard]] const std::vector<TokenPair>& merges() const { return merges_; }

 private:
  void find_bytes();
  [[nodiscard]] std::vector<TokenId> find_results() const;
  void find_whole_tokens();
  void find_special_tokens(const std::vector<TokenId>& results);
  void encode_word(std::string_view word, std::vector<TokenId>& ids) const;
  void merge_bytes(std::string_view word, std::vector<TokenId>& ids) const;

  detail::Vocabulary vocabulary_;
  std::vector<TokenPair> merges_;
  detail::MergeTable merge_table_;
  std::array<TokenId, 256> bytes_ = {};
  std::vector<bool> whole_;  // by id: whether merging the token's bytes gives this token, so that words equal to it
                             // need no merging
  SpecialTokens special_tokens_;
};

inline ByteLevelBpe::ByteLevelBpe(std::vector<std::string> tokens, std::vector<TokenPair> merges)
    : vocabulary_(std::move(tokens)), merges_(std::move(merges)) {
  if (const auto twin = vocabulary_.find_twin())
    throw VocabularyError(
        concatenate("tokens: expected each once, found ", twin->left, " and ", twin->right, " equal"));
  find_bytes();
  const std::vector<TokenId> results = find_results();
  merge_table_ = detail::MergeTable(merges_, results);
  find_whole_tokens();
  find_special_tokens(results);
}

inline void ByteLevelBpe::find_bytes() {
  for (std::size_t byte = 0; byte < bytes_.size(); ++byte) {
    const char text = static_cast<char>(static_cast<unsigned char>(byte));
    bytes_[byte] = vocabulary_.find({&text, 1});
    if (bytes_[byte] == detail::Vocabulary::none)
      throw VocabularyError(concatenate("tokens: expected one for each of the 256 bytes, found none for byte ", byte));
  }
}

inline std::vector<TokenId> ByteLevelBpe::find_results() const {
  std::vector<TokenPair> sorted = merges_;
  std::sort(sorted.begin(), sorted.end());
  if (const auto twin = std::adjacent_find(sorted.begin(), sorted.end()); twin != sorted.end())
    throw VocabularyError(
        concatenate("merges: expected each once, found that of ", twin->left, " and ", twin->right, " twice"));
  std::vector<TokenId> results;
  results.reserve(merges_.size());
  for (const auto [left, right] : merges_) {
    results.push_back(vocabulary_.find(vocabulary_.at(left) + vocabulary_.at(right)));
    if (results.back() == detail::Vocabulary::none)
      throw VocabularyError(
          concatenate("merges: expected a token for the merge of ", left, " and ", right, ", found none"));
  }
  return results;
}

inline void ByteLevelBpe::find_whole_tokens() {
  whole_.resize(vocabulary_.size());
  std::vector<TokenId> ids;
  for (std::size_t id = 0; id < whole_.size(); ++id) {
    ids.clear();
    merge_bytes(vocabulary_.tokens()[id], ids);
    whole_[id] = ids.size() == 1 && ids[0] == static_cast<TokenId>(id);
  }
}

inline void ByteLevelBpe::find_special_tokens(const std::vector<TokenId>& results) {
  std::vector<bool> is_special(vocabulary_.size(), true);
  for (const TokenId id : bytes_) is_special[static_cast<std::size_t>(id)] = false;
  for (const TokenId id : results) is_special[static_cast<std::size_t>(id)] = false;
  std::vector<std::pair<std::string, TokenId>> named;
  for (std::size_t id = 0; id < is_special.size(); ++id)
    if (is_special[id]) named.emplace_back(vocabulary_.tokens()[id], static_cast<TokenId>(id));
  special_tokens_ = detail::special_tokens_named(std::move(named));
}

inline std::vector<TokenId> ByteLevelBpe::encode(std::string_view text) const {
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 3);
  while (!text.empty()) {
    const std::size_t size = detail::gpt2_word_size(text);
    encode_word(text.substr(0, size), ids);
    text.remove_prefix(size);
  }
  return ids;
}

inline void ByteLevelBpe::encode_word(std::string_view word, std::vector<TokenId>& ids) const {
  const TokenId id = vocabulary_.find(word);
  if (id != detail::Vocabulary::none && whole_[static_cast<std::size_t>(id)])
    ids.push_back(id);
  else
    merge_bytes(word, ids);
}

inline void ByteLevelBpe::merge_bytes(std::string_view word, std::vector<TokenId>& ids) const {
  const std::size_t begin = ids.size();
  for (const char byte : word) ids.push_back(bytes_[static_cast<unsigned char>(byte)]);
  ids.resize(begin + detail::merge_word(merge_table_, std::span(ids).subspan(begin)));
}

static_assert(TextTokeniser<ByteLevelBpe>);

}  // namespace crate
