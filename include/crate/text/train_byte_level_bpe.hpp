// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), beside Eigen.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "crate/text/byte_level_bpe.hpp"
#include "crate/text/detail/byte_alphabet.hpp"
#include "crate/text/detail/gpt2_words.hpp"
#include "crate/text/detail/pair_counts.hpp"
#include "crate/text/token.hpp"

namespace crate {

struct BpeTrainingOptions {
  /// Tokens: 256 bytes, what merges make, and the special ones.
  Index vocabulary_size = 4096;
  /// How often neighbours must stand in the text to be merged.
  Index smallest_count = 2;
  /// Their ids are the last, in this order. A masked language model needs RoBERTa's <s>, </s>, <pad> and <mask>.
  std::vector<std::string> special_tokens = {"<|endoftext|>"};

  void check() const {
    const Index least = 256 + std::ssize(special_tokens);
    std::string names;
    for (const std::string& name : special_tokens) names += " and " + name;
    check_option(vocabulary_size >= least, concatenate("vocabulary_size >= ", least, ", the bytes", names),
                 vocabulary_size);
    check_option(vocabulary_size <= 16777216, "vocabulary_size <= 16777216", vocabulary_size);
    check_option(smallest_count >= 1, "smallest_count >= 1", smallest_count);
  }
};

namespace detail {

/// GPT-2's words of a text, by first appearance.
[[nodiscard]] inline std::vector<CountedWord> count_words(std::string_view text) {
  std::unordered_map<std::string_view, std::size_t> places;
  std::vector<CountedWord> words;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, gpt2_word_size(text));
    const auto [place, is_new] = places.try_emplace(word, words.size());
    if (is_new) words.push_back({word, 0});
    ++words[place->second].count;
    text.remove_prefix(word.size());
  }
  return words;
}

}  // namespace detail

/// Learns a byte-level byte-pair encoding from a text (Sennrich et al., arXiv 1508.07909, algorithm 1, on the bytes of
/// GPT-2's words): again and again the two neighbours that stand most often together within words become a token, of
/// several as frequent those of the smaller ids. Ids are GPT-2's: bytes, merges by rank, special tokens. A text with
/// too few repetitions gives fewer tokens than asked for. The same text gives the same tokeniser. Throws OptionError on
/// an option out of range, VocabularyError if a special token is one of the others.
/// Takes O(n log n) for n bytes of different words.
[[nodiscard]] inline ByteLevelBpe train_byte_level_bpe(std::string_view text, const BpeTrainingOptions& options = {}) {
  options.check();
  std::vector<std::string> tokens;
  for (const unsigned char byte : detail::byte_alphabet.in_order_of_ids)
    tokens.emplace_back(1, static_cast<char>(byte));
  std::vector<TokenPair> merges;
  std::unordered_set<TokenPair, detail::TokenPairHash> known;  // abc may come of ab and c, and again of a and bc
  detail::PairCounts counts(detail::count_words(text), tokens);
  while (std::ssize(tokens) + std::ssize(options.special_tokens) < options.vocabulary_size) {
    const auto pair = counts.take_most_frequent(options.smallest_count);
    if (!pair) break;
    if (known.insert(*pair).second) merges.push_back(*pair);
    counts.merge(*pair, tokens);
  }
  tokens.insert(tokens.end(), options.special_tokens.begin(), options.special_tokens.end());
  return {std::move(tokens), std::move(merges)};
}

}  // namespace crate
