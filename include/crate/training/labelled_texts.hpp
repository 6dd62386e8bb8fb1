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

/// Texts, such as sentences, with one class each: examples for a classifier. A batch concatenates them without padding.
struct LabelledTexts {
  using Examples = LabelledTokens;

  std::vector<std::vector<TokenId>> texts;  ///< each with at least one token
  std::vector<Index> labels;                ///< the class of each text
  double word_dropout = 0;  ///< share, in [0, 1), of all tokens but the first that training replaces by `mask`
  TokenId mask = 0;

  [[nodiscard]] Index size() const { return std::ssize(texts); }

  /// The masked tokens depend on the seed, the epoch and the index of the text.
  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t seed, Index epoch) const {
    Examples examples = take(indices);
    if (word_dropout == 0) return examples;
    constexpr unsigned most_bits = 20;  // texts draw from positions 2^20 apart: up to that length no two texts share
                                        // random numbers
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
