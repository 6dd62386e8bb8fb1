// SPDX-License-Identifier: MIT
// Needs utf8proc (Debian: libutf8proc-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "crate/text/detail/bert_words.hpp"
#include "crate/text/detail/pair_counts.hpp"
#include "crate/text/detail/utf8_character.hpp"
#include "crate/text/token.hpp"
#include "crate/text/word_piece.hpp"

namespace crate {

struct WordPieceTrainingOptions {
  /// Number of tokens: [PAD], [UNK], [CLS], [SEP], [MASK], characters, and results of merges.
  Index vocabulary_size = 8192;
  /// How often a character, or a pair to be merged, must occur in the text.
  Index smallest_count = 2;
  /// Whether to lower-case the text and remove accents.
  bool lower_case = true;

  void check() const {
    check_option(vocabulary_size >= 6, "vocabulary_size >= 6, five special tokens and a character", vocabulary_size);
    check_option(vocabulary_size <= 16777216, "vocabulary_size <= 16777216", vocabulary_size);
    check_option(smallest_count >= 1, "smallest_count >= 1", smallest_count);
  }
};

namespace detail {

/// BERT's words of a text with their counts, each after a space, which marks pieces that begin a word; without words so
/// long that they are encoded as [UNK].
[[nodiscard]] inline std::unordered_map<std::string, Index> count_bert_words(std::string_view text, bool lower_case) {
  std::unordered_map<std::string, Index> counts;
  BertWords words(lower_case);
  const Index longest = WordPieceOptions().longest_word;
  words.for_each(text, [&](std::string_view word) {
    if (static_cast<Index>(character_count(word)) <= longest) ++counts[std::string(" ").append(word)];
  });
  return counts;
}

/// The WordPiece notation of a part of such a word.
[[nodiscard]] inline std::string piece_of(std::string_view part) {
  return part.starts_with(' ') ? std::string(part.substr(1)) : std::string("##").append(part);
}

/// The characters of words as pieces, in decreasing frequency.
[[nodiscard]] inline std::vector<std::string> frequent_characters(const std::vector<CountedWord>& words, Index least) {
  std::unordered_map<std::string, Index> counts;
  for (const auto& [word, count] : words)
    for (std::size_t begin = 1, size = 0; begin < word.size(); begin += size) {
      size = first_character(word.substr(begin)).size;
      counts[(begin == 1 ? "" : "##") + std::string(word.substr(begin, size))] += count;
    }
  std::vector<std::pair<Index, std::string>> sorted;
  for (const auto& [piece, count] : counts)
    if (count >= least) sorted.emplace_back(-count, piece);
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::string> pieces;
  pieces.reserve(sorted.size());
  for (auto& [count, piece] : sorted) pieces.push_back(std::move(piece));
  return pieces;
}

/// Whether a part of a word consists of several complete characters.
[[nodiscard]] inline bool is_several_characters(std::string_view part) {
  Index count = 0;
  for (; !part.empty(); ++count) {
    const Utf8Character character = first_character(part);
    if (!character.valid) return false;
    part.remove_prefix(character.size);
  }
  return count > 1;
}

/// The words in the order of their text, so that the same text gives the same pieces.
[[nodiscard]] inline std::vector<CountedWord> in_order(const std::unordered_map<std::string, Index>& counts) {
  std::vector<CountedWord> words;
  words.reserve(counts.size());
  for (const auto& [word, count] : counts) words.push_back({word, count});
  std::sort(words.begin(), words.end(), [](const CountedWord& a, const CountedWord& b) { return a.word < b.word; });
  return words;
}

}  // namespace detail

/// Learns a WordPiece vocabulary from a text by byte-pair encoding of BERT's words: its characters, at the beginning of
/// a word and within, and the results of repeatedly merging the most frequent pair of adjacent tokens. (BERT's own
/// training is unpublished; this is the usual replacement.) A text with few repetitions gives fewer tokens than
/// requested; of too many characters, the most frequent are kept. The result depends on the text and options only.
/// Throws OptionError if an option is out of range.
[[nodiscard]] inline WordPiece train_word_piece(std::string_view text, const WordPieceTrainingOptions& options = {}) {
  options.check();
  const auto counted = detail::count_bert_words(text, options.lower_case);
  const std::vector<detail::CountedWord> words = detail::in_order(counted);
  std::vector<std::string> pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  const auto is_full = [&] { return std::ssize(pieces) >= options.vocabulary_size; };
  for (std::string& character : detail::frequent_characters(words, options.smallest_count))
    if (!is_full()) pieces.push_back(std::move(character));

  std::unordered_set<std::string> known(pieces.begin(), pieces.end());
  std::vector<std::string> parts;
  for (unsigned byte = 0; byte < 256; ++byte)
    parts.emplace_back(1, static_cast<char>(static_cast<unsigned char>(byte)));
  detail::PairCounts counts(words, parts);
  while (!is_full()) {
    const auto pair = counts.take_most_frequent(options.smallest_count);
    if (!pair) break;
    counts.merge(*pair, parts);
    const std::string piece = detail::piece_of(parts.back());  // if several merges give the same part, the first has
                                                               // added it
    if (detail::is_several_characters(parts.back()) && known.insert(piece).second) pieces.push_back(piece);
  }
  return WordPiece(std::move(pieces), {.lower_case = options.lower_case});
}

}  // namespace crate
