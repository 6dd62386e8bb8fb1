// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"

// Traverses all trainable numbers of models of one structure together, in pieces that are divided among threads.

namespace crate::detail {

/// Consecutive numbers of one trainable parameter, at the same place in every model of the structure.
struct TrainedNumbers {
  std::size_t parameter;  ///< its index in the list
  Index first, size;
  bool in_vector;  ///< whether the parameter is one-dimensional

  /// These numbers in the model with this parameter list. Throws Error if they are of another type.
  template <Scalar S>
  [[nodiscard]] auto of(const ParameterList& model) const {
    return Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1>>(model[parameter].numbers<S>().data() + first, size);
  }
  template <Scalar S>
  [[nodiscard]] auto of(const ConstParameterList& model) const {
    return Eigen::Map<const Eigen::Array<S, Eigen::Dynamic, 1>>(model[parameter].numbers<S>().data() + first, size);
  }
};

/// All trainable numbers, divided by sizes alone: into runs, and these into pieces for threads. Every piece but the
/// last holds at least as many numbers as the longest run, and less than twice as many, however small the parameters
/// are.
struct TrainedPieces {
  std::vector<TrainedNumbers> runs;
  std::vector<std::size_t> ends;  ///< of the pieces: indices into runs
};

template <class Memory>
[[nodiscard]] TrainedPieces cut_trained(const std::vector<ListedParameter<Memory>>& model) {
  constexpr Index longest_run = 16384;
  TrainedPieces pieces;
  Index numbers = 0;  // since the last end
  for (std::size_t i = 0; i < model.size(); ++i) {
    if (model[i].kind != ParameterKind::trainable) continue;
    for (Index first = 0; first < model[i].size(); first += longest_run) {
      const Index size = std::min(longest_run, model[i].size() - first);
      pieces.runs.push_back({i, first, size, model[i].is_vector});
      if ((numbers += size) < longest_run) continue;
      pieces.ends.push_back(pieces.runs.size());
      numbers = 0;
    }
  }
  if (numbers > 0) pieces.ends.push_back(pieces.runs.size());
  return pieces;
}

/// Calls visit(run, index of the run) for all of them.
inline void for_each_run(const TrainedPieces& pieces, Threads& threads,
                         const std::function<void(const TrainedNumbers&, std::size_t)>& visit) {
  threads.for_each(static_cast<Index>(pieces.ends.size()), [&](Index piece, int) {
    const auto i = static_cast<std::size_t>(piece);
    for (std::size_t run = i == 0 ? 0 : pieces.ends[i - 1]; run < pieces.ends[i]; ++run) visit(pieces.runs[run], run);
  });
}

/// Calls visit(numbers) for all trainable numbers of the model, in ranges so short that they, and the same ranges of a
/// few other models, stay in the first-level cache between expressions: each number is loaded from memory once.
template <class Memory>
void for_each_trained(const std::vector<ListedParameter<Memory>>& model, Threads& threads,
                      const std::function<void(const TrainedNumbers&)>& visit) {
  for_each_run(cut_trained(model), threads, [&](const TrainedNumbers& run, std::size_t) {
    constexpr Index largest_block = 1024;
    for (Index first = 0; first < run.size; first += largest_block) {
      TrainedNumbers block = run;
      block.first += first;
      block.size = std::min(largest_block, run.size - first);
      visit(block);
    }
  });
}

}  // namespace crate::detail
