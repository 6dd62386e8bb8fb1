// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/models/labelled_tokens.hpp"
#include "crate/text/token.hpp"

namespace crate {

/// Texts of a class each, such as sentences: examples of a classifier. In a batch they stand side by side, each as long
/// as it is, so that none is padded.
struct LabelledTexts {
  using Examples = LabelledTokens;

  std::vector<std::vector<TokenId>> texts;  ///< none of them empty
  std::vector<Index> labels;                ///< of each its class

  [[nodiscard]] Index size() const { return std::ssize(texts); }

  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t, Index) const { return take(indices); }

  /// Throws ShapeError if one of the texts is empty.
  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    std::vector<Index> lengths, ids, classes;
    for (const Index i : indices) {
      const std::vector<TokenId>& text = texts[static_cast<std::size_t>(i)];
      ids.insert(ids.end(), text.begin(), text.end());
      lengths.push_back(std::ssize(text));
      classes.push_back(labels[static_cast<std::size_t>(i)]);
    }
    return {.ids = std::move(ids), .layout = TokenLayout(lengths), .labels = std::move(classes)};
  }
};

}  // namespace crate
