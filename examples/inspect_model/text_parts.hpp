// SPDX-License-Identifier: MIT
#pragma once

#include <numeric>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/models/labelled_tokens.hpp"

namespace inspect_model {

using crate::Index;

/// Texts first to first + count - 1 of several.
[[nodiscard]] inline crate::LabelledTokens part_of(const crate::LabelledTokens& texts, Index first, Index count) {
  std::vector<Index> lengths, visible;
  for (Index s = first; s < first + count; ++s) {
    lengths.push_back(texts.layout.length(s));
    visible.push_back(texts.layout.visible(s));
  }
  const auto cut = [&](const std::vector<Index>& numbers) {
    const auto begin = numbers.begin() + texts.layout.begin(first);
    return std::vector<Index>(begin, begin + std::accumulate(lengths.begin(), lengths.end(), Index{0}));
  };
  return {.ids = cut(texts.ids),
          .layout = crate::TokenLayout(lengths).with_visible(visible),
          .labels = {},
          .types = texts.types.empty() ? std::vector<Index>() : cut(texts.types)};
}

}  // namespace inspect_model
