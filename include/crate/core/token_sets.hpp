// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Where each token set begins and ends in a matrix that holds several side by side, and how many of its first tokens
/// are visible to attention as keys (the rest is padding). A set has at least one token, and one that is visible. Sets
/// of one length take no memory.
class TokenLayout {
 public:
  /// Sets of the given lengths, side by side. Throws ShapeError on a length below 1, and on more tokens than can be
  /// counted.
  explicit TokenLayout(const std::vector<Index>& lengths) : sets_(static_cast<Index>(lengths.size())), offsets_{0} {
    offsets_.reserve(lengths.size() + 1);
    for (const Index length : lengths) {
      check_length(std::ssize(offsets_) - 1, length);
      offsets_.push_back(checked_sum("token sets: tokens", offsets_.back(), length));
    }
  }

  /// One set of `tokens` tokens.
  [[nodiscard]] static TokenLayout single(Index tokens) { return equal(1, tokens); }

  /// `sets` sets of `length` tokens each. Throws as the constructor.
  [[nodiscard]] static TokenLayout equal(Index sets, Index length) {
    if (sets < 0) throw ShapeError(concatenate("token sets: expected a count of at least 0, found ", sets));
    if (sets > 0) check_length(0, length);
    (void)checked_product("token sets: tokens", sets, std::max<Index>(length, 0));
    TokenLayout layout;
    layout.sets_ = sets;
    layout.length_ = length;
    return layout;
  }

  /// The same sets, of which only the first `visible[s]` tokens of set s serve as keys.
  /// Throws ShapeError unless 1 <= visible[s] <= length(s) for every set.
  [[nodiscard]] TokenLayout with_visible(std::vector<Index> visible) const {
    check_size("visible tokens: number of sets", static_cast<Index>(visible.size()), sets());
    for (Index s = 0; s < sets(); ++s) {
      const Index count = visible[static_cast<std::size_t>(s)];
      if (count < 1 || count > length(s))
        throw ShapeError(
            concatenate("visible tokens of set ", s, ": expected between 1 and ", length(s), ", found ", count));
    }
    TokenLayout padded = *this;
    padded.visible_ = std::move(visible);
    return padded;
  }

  /// The same sets, each with `count` more visible tokens, or fewer where it is negative.
  /// Throws ShapeError if one would be left with none.
  [[nodiscard]] TokenLayout longer_by(Index count) const {
    if (offsets_.empty() && visible_.empty()) return equal(sets_, length_ + (sets_ > 0 ? count : 0));
    std::vector<Index> lengths, visible;
    for (Index s = 0; s < sets_; ++s) {
      lengths.push_back(length(s) + count);
      visible.push_back(this->visible(s) + count);
    }
    return TokenLayout(lengths).with_visible(std::move(visible));
  }

  /// The same sets, from which ChooseTokens later keeps only these columns, in this order.
  /// Throws ShapeError unless each is one of the tokens.
  [[nodiscard]] TokenLayout with_chosen(std::vector<Index> tokens) const {
    for (const Index token : tokens)
      if (token < 0 || token >= this->tokens())
        throw ShapeError(concatenate("chosen token: expected 0 to ", this->tokens() - 1, ", found ", token));
    TokenLayout chosen = *this;
    chosen.chosen_ = std::move(tokens);
    return chosen;
  }

  [[nodiscard]] Index sets() const { return sets_; }
  [[nodiscard]] Index tokens() const { return begin(sets_); }
  [[nodiscard]] Index begin(Index set) const {
    return offsets_.empty() ? set * length_ : offsets_[static_cast<std::size_t>(set)];
  }
  [[nodiscard]] Index length(Index set) const { return begin(set + 1) - begin(set); }
  [[nodiscard]] Index visible(Index set) const {
    return visible_.empty() ? length(set) : visible_[static_cast<std::size_t>(set)];
  }
  /// What with_chosen named; nothing for all tokens.
  [[nodiscard]] const std::optional<std::vector<Index>>& chosen() const { return chosen_; }
  /// How many pairs of tokens of one set there are, what attention compares.
  [[nodiscard]] double pairs() const {
    double count = 0;
    for (Index s = 0; s < sets(); ++s) count += static_cast<double>(length(s)) * static_cast<double>(length(s));
    return count;
  }
  [[nodiscard]] Index longest() const {
    Index longest = 0;
    for (Index s = 0; s < sets(); ++s) longest = std::max(longest, length(s));
    return longest;
  }

 private:
  TokenLayout() = default;

  static void check_length(Index set, Index length) {
    if (length < 1) throw ShapeError(concatenate("token set ", set, ": expected at least 1 token, found ", length));
  }

  Index sets_ = 0;
  Index length_ = 0;            // of every set, if there are no offsets
  std::vector<Index> offsets_;  // set s is columns offsets_[s] to offsets_[s + 1]
  std::vector<Index> visible_;  // empty if all tokens are
  std::optional<std::vector<Index>> chosen_;
};

/// Token sets side by side: a d x (total tokens) matrix and where each set begins.
template <Scalar S>
struct TokenSets {
  Matrix<S> tokens;
  TokenLayout layout;

  /// One set.
  explicit TokenSets(Matrix<S> one_set) : tokens(std::move(one_set)), layout(TokenLayout::single(tokens.cols())) {}

  /// Several. Throws ShapeError unless the layout covers exactly the columns.
  TokenSets(Matrix<S> side_by_side, TokenLayout sets) : tokens(std::move(side_by_side)), layout(std::move(sets)) {
    check_size("token sets: columns", tokens.cols(), layout.tokens());
  }
};

}  // namespace crate
