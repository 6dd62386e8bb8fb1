// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "crate/text/detail/vocabulary.hpp"
#include "crate/text/token.hpp"

namespace crate::detail {

struct CountedWord {
  std::string_view word;
  Index count;  ///< number of occurrences in the text
};

struct TokenPairHash {
  [[nodiscard]] std::size_t operator()(TokenPair pair) const {
    return BytesKey::mixed(std::uint64_t{static_cast<std::uint32_t>(pair.left)} << 32U |
                           static_cast<std::uint32_t>(pair.right));
  }
};

/// Words as tokens, with the counts and places of all adjacent pairs, which are updated when pairs merge. All words are
/// in one linked list, of which each merge visits only the places of its pair.
class PairCounts {
 public:
  /// From words as tokens of one byte each; these are the first of `tokens`.
  PairCounts(std::span<const CountedWord> words, std::span<const std::string> tokens);

  /// The most frequent pair, of equally frequent ones that of the smallest ids; nothing if none occurs `least`
  /// times. It must be merged next.
  [[nodiscard]] std::optional<TokenPair> take_most_frequent(Index least);

  /// Merges the pair into one token wherever it occurs, from left to right: into an existing token with the same bytes,
  /// or a new one, which is added to `tokens`.
  void merge(TokenPair pair, std::vector<std::string>& tokens);

 private:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  struct Symbol {
    TokenId id;  ///< -1 once it is merged into the previous symbol
    std::size_t previous, next;
    Index count;  ///< of its word
  };

  struct Pair {
    Index count = 0;
    std::vector<std::size_t> places;  ///< of its left symbol, current or former ones
  };

  struct Candidate {
    Index count;
    TokenPair pair;
    friend bool operator<(const Candidate& a, const Candidate& b) {  // the greatest is taken first
      return a.count != b.count ? a.count < b.count : b.pair < a.pair;
    }
  };

  void add(std::size_t left, std::size_t right);
  void remove(std::size_t left, std::size_t right);
  void merge_at(std::size_t place, TokenId result);

  std::vector<Symbol> symbols_;
  std::unordered_map<TokenPair, Pair, TokenPairHash> pairs_;
  std::priority_queue<Candidate> candidates_;  // each pair with its current or a former count
  std::vector<TokenPair> added_;               // since candidates were last added
  std::unordered_map<std::string, TokenId> ids_;
};

inline PairCounts::PairCounts(std::span<const CountedWord> words, std::span<const std::string> tokens) {
  std::array<TokenId, 256> id_of_byte{};
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    id_of_byte[static_cast<unsigned char>(tokens[id][0])] = static_cast<TokenId>(id);
    ids_.emplace(tokens[id], static_cast<TokenId>(id));
  }
  for (const auto& [word, count] : words)
    for (std::size_t i = 0; i < word.size(); ++i) {
      const std::size_t place = symbols_.size();
      symbols_.push_back({id_of_byte[static_cast<unsigned char>(word[i])], i > 0 ? place - 1 : none,
                          i + 1 < word.size() ? place + 1 : none, count});
    }
  for (std::size_t place = 0; place < symbols_.size(); ++place)
    if (symbols_[place].next != none) add(place, symbols_[place].next);
  for (const auto& [pair, found] : pairs_) candidates_.push({found.count, pair});
  added_.clear();
}

inline std::optional<TokenPair> PairCounts::take_most_frequent(Index least) {
  while (!candidates_.empty()) {
    const Candidate top = candidates_.top();
    candidates_.pop();
    const Index count = pairs_.at(top.pair).count;
    if (count == top.count && count >= least) return top.pair;
    if (count < top.count && count >= least) candidates_.push({count, top.pair});
  }
  return std::nullopt;
}

inline void PairCounts::add(std::size_t left, std::size_t right) {
  const TokenPair pair{symbols_[left].id, symbols_[right].id};
  Pair& found = pairs_[pair];
  found.count += symbols_[left].count;
  found.places.push_back(left);
  added_.push_back(pair);
}

inline void PairCounts::remove(std::size_t left, std::size_t right) {
  pairs_.at({symbols_[left].id, symbols_[right].id}).count -= symbols_[left].count;
}

inline void PairCounts::merge(TokenPair pair, std::vector<std::string>& tokens) {
  const auto [place, is_new] =
      ids_.try_emplace(tokens[static_cast<std::size_t>(pair.left)] + tokens[static_cast<std::size_t>(pair.right)],
                       static_cast<TokenId>(tokens.size()));
  if (is_new) tokens.push_back(place->first);
  const TokenId result = place->second;

  std::vector<std::size_t> places = std::move(pairs_.at(pair).places);
  std::sort(places.begin(), places.end());
  for (const std::size_t left : places) {
    const std::size_t right = symbols_[left].next;
    if (symbols_[left].id == pair.left && right != none && symbols_[right].id == pair.right) merge_at(left, result);
  }
  pairs_.at(pair) = {};

  std::sort(added_.begin(), added_.end());
  added_.erase(std::unique(added_.begin(), added_.end()), added_.end());
  for (const TokenPair added : added_)
    if (const Index count = pairs_.at(added).count; count > 0) candidates_.push({count, added});
  added_.clear();
}

inline void PairCounts::merge_at(std::size_t place, TokenId result) {
  Symbol& left = symbols_[place];
  const std::size_t merged = left.next, after = symbols_[merged].next;
  if (left.previous != none) remove(left.previous, place);
  if (after != none) remove(merged, after);
  left.id = result;
  left.next = after;
  symbols_[merged].id = Vocabulary::none;
  if (after != none) symbols_[after].previous = place;
  if (left.previous != none) add(left.previous, place);
  if (after != none) add(place, after);
}

}  // namespace crate::detail
