// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "crate/core/token_sets.hpp"
#include "crate/layers/token_embedding.hpp"

namespace crate {

/// Texts in a language model's input format, with the labels to predict: from a source of texts to an objective.
struct LabelledTokens {
  std::vector<Index> ids;         ///< N, one set after another
  TokenLayout layout;             ///< where each set begins, and how many of its tokens are not padding
  std::vector<Index> labels;      ///< N: for each token the id to predict, or -1 if it does not count; or for each set
                                  ///< its class
  std::vector<Index> types = {};  ///< N, or empty

  /// The input of a model.
  [[nodiscard]] TokenIds input() const { return {ids, layout, types}; }
};

}  // namespace crate
