// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "crate/core/detail/fingerprint.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/labelled_tokens.hpp"
#include "crate/text/token.hpp"

namespace crate {

/// Windows of a text, each token labelled with the next one: examples for a causal language model. `draw` takes windows
/// from random places, `take` from fixed ones. The ids must outlive this.
class TextWindows {
 public:
  using Examples = LabelledTokens;

  /// `count` windows of `context` tokens, or of the whole text if it is shorter. Throws OptionError unless context,
  /// count >= 1 and the text has 2 tokens.
  TextWindows(std::span<const TokenId> ids, Index context, Index count) : TextWindows(ids, context) {
    check_option(count >= 1, "windows of a text: count >= 1", count);
    size_ = count;
    stride_ = std::max(longest_, predicted() / count);
  }

  /// At most `most` windows that do not overlap, spread evenly over the text. Throws OptionError as the constructor.
  [[nodiscard]] static TextWindows spread(std::span<const TokenId> ids, Index context, Index most) {
    TextWindows windows(ids, context, most);
    windows.size_ = std::min(most, windows.different());
    return windows;
  }

  /// Sliding windows over the whole text: a window begins every `stride` tokens, and only the tokens that the previous
  /// window does not contain count, so that each counts once. Throws OptionError unless 1 <= stride <= context and the
  /// text has 2 tokens.
  [[nodiscard]] static TextWindows sliding(std::span<const TokenId> ids, Index context, Index stride) {
    TextWindows windows(ids, context);
    check_option(stride >= 1 && stride <= context, concatenate("windows of a text: stride in 1 to ", context), stride);
    windows.stride_ = std::min(stride, windows.longest_);
    windows.size_ = windows.different();
    return windows;
  }

  [[nodiscard]] Index size() const { return size_; }

  /// The number of tokens of a window.
  [[nodiscard]] Index length() const { return longest_; }

  /// A fingerprint, to detect a different text.
  [[nodiscard]] std::uint64_t fingerprint() const { return detail::fingerprint(ids_); }

  /// Window i of an epoch begins at a random place, which depends only on the seed, the epoch and i.
  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t seed, Index epoch) const {
    Random random(seed, detail::stream_of_name("window") + static_cast<std::uint64_t>(epoch));
    std::vector<Window> windows;
    for (const Index i : indices) {
      random.seek(static_cast<std::uint64_t>(i));
      windows.push_back({.begin = random.below(predicted() - longest_ + 1), .length = longest_});
    }
    return examples_of(windows);
  }

  /// The windows at fixed places; if there are fewer than requested, they repeat from the first.
  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    std::vector<Window> windows;
    for (const Index i : indices) {
      const Index begin = i % different() * stride_, length = std::min(longest_, predicted() - begin);
      windows.push_back(
          {.begin = begin, .length = length, .known = begin > 0 ? longest_ - std::min(longest_, stride_) : 0});
    }
    return examples_of(windows);
  }

 private:
  struct Window {
    Index begin, length;
    Index known = 0;  // leading tokens that do not count
  };

  TextWindows(std::span<const TokenId> ids, Index context) : ids_(ids) {
    check_option(context >= 1, "windows of a text: context >= 1", context);
    check_option(std::ssize(ids) >= 2, "windows of a text: tokens of the text >= 2", std::ssize(ids));
    longest_ = std::min(context, predicted());
  }

  [[nodiscard]] Index predicted() const { return std::ssize(ids_) - 1; }

  /// The number of windows that cover the text.
  [[nodiscard]] Index different() const { return 1 + (predicted() - longest_ + stride_ - 1) / stride_; }

  [[nodiscard]] Examples examples_of(const std::vector<Window>& windows) const {
    std::vector<Index> lengths;
    lengths.reserve(windows.size());
    for (const Window& window : windows) lengths.push_back(window.length);
    Examples examples{.ids = {}, .layout = TokenLayout(lengths), .labels = {}};
    for (const Window& window : windows)
      for (Index j = 0; j < window.length; ++j) {
        const auto place = static_cast<std::size_t>(window.begin + j);
        examples.ids.push_back(ids_[place]);
        examples.labels.push_back(j < window.known ? -1 : ids_[place + 1]);
      }
    return examples;
  }

  std::span<const TokenId> ids_;
  Index longest_ = 0, size_ = 0, stride_ = 1;
};

}  // namespace crate
