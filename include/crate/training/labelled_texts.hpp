// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/labelled_tokens.hpp"
#include "crate/text/token.hpp"

namespace crate {

/// Texts of a class each, such as sentences: examples of a classifier. In a batch they stand side by side, each as long
/// as it is, so that none is padded.
struct LabelledTexts {
  using Examples = LabelledTokens;

  std::vector<std::vector<TokenId>> texts;  ///< none of them empty
  std::vector<Index> labels;                ///< of each its class
  double word_dropout = 0;  ///< share, in [0, 1), of all tokens but the first that training sees as `mask`
  TokenId mask = 0;

  [[nodiscard]] Index size() const { return std::ssize(texts); }

  /// Which tokens are masked depends on the seed, the epoch and the index of the text.
  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t seed, Index epoch) const {
    Examples examples = take(indices);
    if (word_dropout == 0) return examples;
    constexpr unsigned most_bits = 20;  // texts draw from places 2^20 apart: up to that length none shares any
    Random random(seed, detail::stream_of_name("masked words") + static_cast<std::uint64_t>(epoch));
    for (Index s = 0; s < examples.layout.sets(); ++s) {
      random.seek(static_cast<std::uint64_t>(indices[static_cast<std::size_t>(s)]) << most_bits);
      for (Index j = 1; j < examples.layout.length(s); ++j)
        if (random.uniform() < word_dropout)
          examples.ids[static_cast<std::size_t>(examples.layout.begin(s) + j)] = mask;
    }
    return examples;
  }

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
