// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/pages.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/kernels/views.hpp"

namespace crate {

/// A key-value cache: what layers keep of the tokens of several sets, so that a pass on the tokens that follow need not
/// see them again: of MSSA U^T z, as query, key and value are one, of self-attention keys and values. Lent to a pass by
/// Run::cache; each pass goes on where the last one ended. One pass at a time.
template <crate::Scalar S>
class TokenCache {
 public:
  /// For `sets` sets of at most `longest` tokens, of which layer l keeps rows[l] numbers each; see cached_rows.
  /// Throws OptionError unless sets, longest >= 1 and their numbers can be counted.
  TokenCache(std::vector<Index> rows, Index longest, Index sets = 1) : rows_(std::move(rows)), longest_(longest) {
    check_option(longest >= 1, "token cache: tokens of a set >= 1", longest);
    check_option(sets >= 1, "token cache: sets >= 1", sets);
    const Index most = std::numeric_limits<Index>::max() / Index{sizeof(S)};
    Index numbers = 0;
    for (const Index of_token : rows_) {
      begins_.push_back(numbers);
      if (longest > (most - numbers) / sets / std::max<Index>(stride(of_token), 1))
        throw OptionError(concatenate("token cache: expected a size that memory can hold, found ", sets, " sets of ",
                                      longest, " tokens"));
      numbers += stride(of_token) * longest * sets;
    }
    lengths_.assign(static_cast<std::size_t>(sets), 0);
    numbers_.resize(numbers);
    ask_for_huge_pages(numbers_.data(), bytes());
    go_on_with_all();
  }

  [[nodiscard]] Index sets() const { return std::ssize(lengths_); }
  [[nodiscard]] Index longest() const { return longest_; }

  /// How many tokens of a set are kept. Throws ShapeError unless it is one of the cache.
  [[nodiscard]] Index length(Index set) const {
    check_set(set);
    return lengths_[static_cast<std::size_t>(set)];
  }

  /// The bytes held: those of sets * longest tokens, each layer's numbers of a token rounded up to whole cache lines.
  /// In pages of 2 MiB the first token of a set touches nearly all that its set will need, as each head has its tokens'
  /// room for itself.
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(numbers_.size()) * sizeof(S); }

  /// The bytes that a token takes.
  [[nodiscard]] static std::size_t bytes_per_token(const std::vector<Index>& rows) {
    std::size_t bytes = 0;
    for (const Index of_layer : rows) bytes += static_cast<std::size_t>(stride(of_layer)) * sizeof(S);
    return bytes;
  }

  /// Forgets the tokens of a set from `first` on. Throws OptionError unless first >= 0, ShapeError as length.
  void forget(Index set, Index first = 0) {
    check_option(first >= 0, "token cache: first token to forget >= 0", first);
    check_set(set);
    Index& length = lengths_[static_cast<std::size_t>(set)];
    length = std::min(length, first);
  }

  /// The sets of the next passes go on with these, in this order. Throws ShapeError unless each is one of the cache,
  /// none twice.
  void go_on_with(std::vector<Index> sets) {
    for (const Index set : sets) check_set(set);
    std::vector<Index> sorted = sets;
    std::sort(sorted.begin(), sorted.end());
    if (const auto twin = std::adjacent_find(sorted.begin(), sorted.end()); twin != sorted.end())
      throw ShapeError(concatenate("token cache: expected each set once, found ", *twin, " twice"));
    chosen_ = std::move(sets);
  }
  void go_on_with_all() {
    chosen_.resize(lengths_.size());
    std::iota(chosen_.begin(), chosen_.end(), Index{0});
  }

  /// Throws ShapeError unless the pass's sets are those to go on with and there is room for them.
  void begin_pass(const TokenLayout& layout) {
    check_size("token cache: sets of the pass", layout.sets(), std::ssize(chosen_));
    for (Index s = 0; s < layout.sets(); ++s) {
      if (past(s) + layout.length(s) > longest_)
        throw ShapeError(concatenate("token cache: expected at most ", longest_, " tokens in set ", set_of(s),
                                     ", found ", past(s) + layout.length(s)));
      if (layout.visible(s) != layout.length(s))
        throw ShapeError(concatenate("token cache: expected no padding in set ", set_of(s), ", found ",
                                     layout.length(s) - layout.visible(s), " tokens of it"));
    }
    layer_ = 0;
  }

  /// From now on the pass's tokens are those that went before.
  void end_pass(const TokenLayout& layout) {
    for (Index s = 0; s < layout.sets(); ++s) lengths_[static_cast<std::size_t>(set_of(s))] += layout.length(s);
  }

  /// The tokens that the pass's set s had before.
  [[nodiscard]] Index past(Index s) const { return lengths_[static_cast<std::size_t>(set_of(s))]; }

  /// What one layer keeps of the pass's sets.
  class Layer {
   public:
    /// Of set s the rows from `first` on, a column for each token, one behind the other: rows that are read together,
    /// as those of a head, lie together, longest() columns of them. Rows are always asked for in the same groups.
    [[nodiscard]] detail::Columns<S> rows(Index s, Index first, Index count) const {
      return {first_ + cache_.longest_ * (cache_.set_of(s) * stride_ + first), count};
    }

   private:
    friend class TokenCache;
    Layer(const TokenCache& cache, S* first, Index stride) : cache_(cache), first_(first), stride_(stride) {}
    const TokenCache& cache_;
    S* first_;
    Index stride_;
  };

  /// The next layer's of the pass, each of which asks once. Throws ShapeError if it is not the one that room was made
  /// for.
  [[nodiscard]] Layer next_layer(Index rows) {
    if (layer_ >= rows_.size() || rows_[layer_] != rows)
      throw ShapeError(concatenate("token cache: expected one that was made for this model, whose layer ", layer_,
                                   " keeps ", rows, " numbers a token; found one with room for ",
                                   layer_ < rows_.size() ? rows_[layer_] : 0));
    return Layer(*this, numbers_.data() + begins_[layer_++], stride(rows));
  }

 private:
  void check_set(Index set) const {
    if (set < 0 || set >= sets())
      throw ShapeError(concatenate("token cache: expected a set from 0 to ", sets() - 1, ", found ", set));
  }
  [[nodiscard]] Index set_of(Index s) const { return chosen_[static_cast<std::size_t>(s)]; }
  [[nodiscard]] static Index stride(Index rows) { return detail::round_up(rows, 64 / Index{sizeof(S)}); }

  std::vector<Index> rows_;    // of every layer that keeps something
  std::vector<Index> begins_;  // of its numbers: set after set, rows in groups, token after token
  Index longest_;
  std::vector<Index> lengths_;  // of every set
  std::vector<Index> chosen_;   // the pass's set s is chosen_[s]
  Vector<S> numbers_;
  std::size_t layer_ = 0;
};

}  // namespace crate
