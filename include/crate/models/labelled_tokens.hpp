// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "crate/core/token_sets.hpp"
#include "crate/layers/token_embedding.hpp"

namespace crate {

/// Texts as language models take them, with what is to be predicted: what a source of texts gives and an objective
/// takes.
struct LabelledTokens {
  std::vector<Index> ids;         ///< N, set after set
  TokenLayout layout;             ///< where each set begins, and how many of its tokens are no padding
  std::vector<Index> labels;      ///< N: of each token the id to predict, -1 where it does not count; or of each set
                                  ///< its class
  std::vector<Index> types = {};  ///< N, or none

  /// What a model is given.
  [[nodiscard]] TokenIds input() const { return {ids, layout, types}; }
};

}  // namespace crate
