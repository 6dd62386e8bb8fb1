// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"

namespace crate {

/// Stops a text that arrives in pieces before the first occurrence of any stop string, even one split across pieces.
/// Text that could be the beginning of a stop string is held back.
class StopStrings {
 public:
  /// Throws OptionError on an empty string.
  explicit StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
    for (const std::string& string : strings_)
      if (string.empty()) throw OptionError("stop strings: expected at least 1 byte, found an empty string");
  }

  /// The text that can be shown after this piece.
  [[nodiscard]] std::string next(std::string_view piece) {
    if (stopped_) return {};
    held_ += piece;
    std::size_t shown = held_.size();
    for (const std::string& string : strings_) shown = std::min(shown, begin_of(string));
    std::string text = held_.substr(0, shown);
    held_.erase(0, shown);
    stopped_ = std::any_of(strings_.begin(), strings_.end(), [&](const auto& s) { return held_.starts_with(s); });
    return text;
  }

  [[nodiscard]] bool stopped() const { return stopped_; }

  /// The text that was held back, at the end of the input, up to a stop string that is still in it.
  [[nodiscard]] std::string finish() {
    std::size_t shown = held_.size();
    for (const std::string& string : strings_) shown = std::min(shown, held_.find(string));
    stopped_ = stopped_ || shown < held_.size();
    return std::exchange(held_, {}).substr(0, shown);
  }

 private:
  /// Where a stop string, or the longest beginning of it at the end, starts in the held text.
  [[nodiscard]] std::size_t begin_of(std::string_view string) const {
    const std::string_view held = held_;
    if (const std::size_t found = held.find(string); found != std::string_view::npos) return found;
    const std::size_t longest = std::min(held.size(), string.size() - 1);
    for (std::size_t length = longest; length > 0; --length)
      if (held.ends_with(string.substr(0, length))) return held.size() - length;
    return held.size();
  }

  std::vector<std::string> strings_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace crate
