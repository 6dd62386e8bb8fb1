// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), in addition to Eigen.
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
  /// Number of tokens: 256 bytes, results of merges, and special tokens.
  Index vocabulary_size = 4096;
  /// How often a pair must occur in the text to be merged.
  Index smallest_count = 2;
  /// They get the last ids, in this order. A masked language model needs RoBERTa's <s>, </s>, <pad> and <mask>.
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

/// GPT-2's words of a text, in the order of their first occurrence.
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
/// GPT-2's words): repeatedly merges the most frequent pair of adjacent tokens within words, of equally frequent ones
/// that of the smaller ids. Ids are in GPT-2's order: bytes, merges by rank, special tokens. A text with few
/// repetitions gives fewer tokens than requested. The result depends on the text and options only. Throws OptionError
/// if an option is out of range, VocabularyError if a special token equals another token.
/// Takes O(n log n) for n bytes of different words.
[[nodiscard]] inline ByteLevelBpe train_byte_level_bpe(std::string_view text, const BpeTrainingOptions& options = {}) {
  options.check();
  std::vector<std::string> tokens;
  for (const unsigned char byte : detail::byte_alphabet.in_order_of_ids)
    tokens.emplace_back(1, static_cast<char>(byte));
  std::vector<TokenPair> merges;
  std::unordered_set<TokenPair, detail::TokenPairHash> known;  // abc may result from ab and c, and later from a and bc
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
