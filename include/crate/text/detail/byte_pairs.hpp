// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "crate/text/detail/vocabulary.hpp"
#include "crate/text/token.hpp"

// Byte-pair encoding: of all adjacent pairs in a word that can merge, those of the lowest rank are merged, from left to
// right; this is repeated until no pair can merge (Sennrich et al., arXiv 1508.07909, algorithm 1).

namespace crate::detail {

/// The results and ranks of pairs that merge.
class MergeTable {
 public:
  using Rank = std::int32_t;
  static constexpr Rank never = std::numeric_limits<Rank>::max();

  struct Merge {
    Rank rank = never;
    TokenId result = Vocabulary::none;
  };

  MergeTable() : slots_(1) {}

  /// Pair i becomes results[i] and has rank i; pairs must differ.
  MergeTable(std::span<const TokenPair> pairs, std::span<const TokenId> results)
      : slots_(std::bit_ceil(2 * pairs.size() + 1)) {
    for (std::size_t i = 0; i < pairs.size(); ++i)
      slots_[place_of(pairs[i])] = {pairs[i], {static_cast<Rank>(i), results[i]}};
  }

  [[nodiscard]] Merge find(TokenPair pair) const { return slots_[place_of(pair)].merge; }

 private:
  struct Slot {
    TokenPair pair{Vocabulary::none, Vocabulary::none};
    Merge merge;
  };

  [[nodiscard]] static std::uint64_t hash(TokenPair pair) {
    return BytesKey::mixed(std::uint64_t{static_cast<std::uint32_t>(pair.left)} << 32U |
                           static_cast<std::uint32_t>(pair.right));
  }

  [[nodiscard]] std::size_t place_of(TokenPair pair) const {
    for (std::size_t place = hash(pair);; ++place) {
      place &= slots_.size() - 1;
      if (slots_[place].pair == pair || slots_[place].merge.rank == never) return place;
    }
  }

  std::vector<Slot> slots_;  // a power of two, at least one of them empty
};

/// Words of up to this many bytes are merged without heap memory.
inline constexpr std::size_t short_word = 32;

/// Merges a word of n <= short_word tokens in O(n^2). Returns the number of remaining tokens, at the start of `ids`.
[[nodiscard]] inline std::size_t merge_short(const MergeTable& table, std::span<TokenId> ids) {
  std::array<MergeTable::Merge, short_word> merges;  // of a token with the next
  std::size_t count = ids.size();
  const auto look_up = [&](std::size_t i) {
    merges[i] = i + 1 < count ? table.find({ids[i], ids[i + 1]}) : MergeTable::Merge();
  };
  for (std::size_t i = 0; i < count; ++i) look_up(i);

  while (count > 1) {
    MergeTable::Rank lowest = MergeTable::never;
    for (std::size_t i = 0; i < count; ++i) lowest = std::min(lowest, merges[i].rank);
    if (lowest == MergeTable::never) break;
    for (std::size_t i = 0; i + 1 < count; ++i) {
      if (merges[i].rank != lowest) continue;
      ids[i] = merges[i].result;
      for (std::size_t next = i + 1; next + 1 < count; ++next) {
        ids[next] = ids[next + 1];
        merges[next] = merges[next + 1];
      }
      --count;
      look_up(i);
      if (i > 0) look_up(i - 1);
    }
  }
  return count;
}

/// Merges a word of any length n in O(n log n) time, with a heap of pairs by rank and place.
class LongWordMerger {
 public:
  LongWordMerger(const MergeTable& table, std::span<TokenId> ids)
      : table_(&table), ids_(ids), next_(ids.size()), previous_(ids.size()), merges_(ids.size()) {
    waiting_.reserve(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      next_[i] = i + 1;
      previous_[i] = i - 1;
    }
    for (std::size_t i = 0; i < ids.size(); ++i) {
      look_up(i);
      if (merges_[i].rank != MergeTable::never) waiting_.push_back({merges_[i].rank, i});
    }
    std::make_heap(waiting_.begin(), waiting_.end(), std::greater<>());
  }

  /// Returns the number of remaining tokens, at the start of the ids.
  [[nodiscard]] std::size_t merge() {
    while (!waiting_.empty()) merge_all_of(waiting_.front().rank);
    std::size_t count = 0;
    for (std::size_t i = 0; i < ids_.size(); i = next_[i]) ids_[count++] = ids_[i];
    return count;
  }

 private:
  struct Waiting {
    MergeTable::Rank rank;
    std::size_t place;
    friend bool operator>(const Waiting& a, const Waiting& b) {
      return a.rank != b.rank ? a.rank > b.rank : a.place > b.place;
    }
  };

  void look_up(std::size_t i) {
    const std::size_t next = next_[i];
    merges_[i] = next < ids_.size() ? table_->find({ids_[i], ids_[next]}) : MergeTable::Merge();
  }

  /// Pairs that arise meanwhile wait for their turn, even if their rank is lower.
  void merge_all_of(MergeTable::Rank rank) {
    changed_.clear();
    while (!waiting_.empty() && waiting_.front().rank == rank) {
      const std::size_t place = waiting_.front().place;
      std::pop_heap(waiting_.begin(), waiting_.end(), std::greater<>());
      waiting_.pop_back();
      if (merges_[place].rank == rank) merge_at(place);
    }
    for (const std::size_t place : changed_) {
      if (merges_[place].rank == MergeTable::never) continue;
      waiting_.push_back({merges_[place].rank, place});
      std::push_heap(waiting_.begin(), waiting_.end(), std::greater<>());
    }
  }

  void merge_at(std::size_t place) {
    const std::size_t merged = next_[place];
    ids_[place] = merges_[place].result;
    merges_[merged] = {};
    next_[place] = next_[merged];
    if (next_[place] < ids_.size()) previous_[next_[place]] = place;
    look_up(place);
    changed_.push_back(place);
    if (place == 0) return;
    look_up(previous_[place]);
    changed_.push_back(previous_[place]);
  }

  const MergeTable* table_;
  std::span<TokenId> ids_;
  std::vector<std::size_t> next_, previous_;
  std::vector<MergeTable::Merge> merges_;  // of each token with the next; for a token that was merged away, none
  std::vector<Waiting> waiting_;           // a heap, the lowest first; some entries may be outdated
  std::vector<std::size_t> changed_;
};

/// Byte-pair encoding of a word's tokens. Returns the number of remaining tokens, at the start of `ids`.
[[nodiscard]] inline std::size_t merge_word(const MergeTable& table, std::span<TokenId> ids) {
  return ids.size() <= short_word ? merge_short(table, ids) : LongWordMerger(table, ids).merge();
}

}  // namespace crate::detail
