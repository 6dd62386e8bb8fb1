// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "crate/core/threads.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/pass.hpp"
#include "crate/training/token_prediction.hpp"

namespace text_program {

using crate::Index;

/// The loss of a model over all windows of a source, a few at a time on each thread.
template <class Model, class Source>
[[nodiscard]] crate::TokenPredictionMeasures measure(const Model& model, const Source& source, Index at_a_time,
                                                     crate::Threads& threads) {
  const Index pieces = (source.size() + at_a_time - 1) / at_a_time;
  std::vector<crate::TokenPredictionMeasures> sums(static_cast<std::size_t>(pieces));
  std::vector<crate::Workspace> workspaces(static_cast<std::size_t>(threads.count()));
  const crate::TokenPredictionObjective<Model> objective;
  threads.for_each(pieces, [&](Index piece, int worker) {
    const Index first = piece * at_a_time;
    std::vector<Index> indices(static_cast<std::size_t>(std::min(at_a_time, source.size() - first)));
    std::iota(indices.begin(), indices.end(), first);
    crate::Threads alone;
    sums[static_cast<std::size_t>(piece)] = objective.measure(
        model, source.take(indices), {.threads = &alone, .workspace = &workspaces[static_cast<std::size_t>(worker)]});
  });
  crate::TokenPredictionMeasures total;
  for (const crate::TokenPredictionMeasures& sum : sums) total += sum;
  return total;
}

}  // namespace text_program
