// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"
#include "crate/training/communicator.hpp"
#include "crate/training/detail/trained_pieces.hpp"
#include "crate/training/gradient.hpp"

namespace crate::detail {

/// sum <- all gradients of all ranks, added in the order of the ranks and of each one's gradients, over the trainable
/// parameters: ((g_1 + g_2) + g_3) + ..., as one process adds them. A rank may have none. `memory` is kept for the next
/// time.
template <Scalar S>
void sum_over_ranks(Communicator& ranks, const ParameterList& sum, const std::vector<ConstParameterList>& gradients,
                    std::vector<S>& memory, Threads& threads) {
  const TrainedPieces cut = cut_trained(sum);
  std::vector<S*> numbers;  // of every run, side by side in the memory
  Index total = 0;
  for (const TrainedNumbers& run : cut.runs) total += run.size;
  memory.resize(static_cast<std::size_t>(total));
  S* next = memory.data();
  for (const TrainedNumbers& run : cut.runs) {
    numbers.push_back(next);
    next += run.size;
  }
  const auto in_memory = [&](std::size_t run) {
    return Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1>>(numbers[run], cut.runs[run].size);
  };

  std::vector<std::span<std::byte>> pieces;
  for (std::size_t i = 0; i < cut.ends.size(); ++i) {
    S* const begin = numbers[i == 0 ? 0 : cut.ends[i - 1]];
    S* const end = numbers[cut.ends[i] - 1] + cut.runs[cut.ends[i] - 1].size;
    pieces.push_back(std::as_writable_bytes(std::span(begin, end)));
  }
  const auto add_run = [&](std::size_t run, Index first, Index size) {
    TrainedNumbers part = cut.runs[run];
    part.first += first;
    part.size = size;
    auto added = in_memory(run).segment(first, size);
    for (std::size_t g = 0; g < gradients.size(); ++g) {
      if (ranks.is_first() && g == 0)
        added = part.of<S>(gradients[g]);
      else
        added += part.of<S>(gradients[g]);
    }
  };
  constexpr Index numbers_of_a_thread = 2048;
  ranks.add_in_order(pieces, [&](std::size_t piece) {
    for (std::size_t run = piece == 0 ? 0 : cut.ends[piece - 1]; run < cut.ends[piece]; ++run)
      threads.for_each_range(cut.runs[run].size, numbers_of_a_thread,
                             [&](Index first, Index size, int) { add_run(run, first, size); });
  });
  for_each_run(cut, threads, [&](const TrainedNumbers& run, std::size_t i) { run.of<S>(sum) = in_memory(i); });
}

/// Makes the first of the lanes the sum of all lanes of all ranks, of which `own` are this one's: the first ones here.
template <class Model>
void sum_lanes(Communicator& ranks, std::vector<Model>& lanes, Index own, std::vector<typename Model::Scalar>& memory,
               Threads& threads) {
  const std::span<const Model> owned = std::span<const Model>(lanes).first(static_cast<std::size_t>(own));
  if (ranks.size() > 1) {
    std::vector<ConstParameterList> lists;
    for (const Model& lane : owned) lists.push_back(list_parameters(lane));
    sum_over_ranks(ranks, list_parameters(lanes.front()), lists, memory, threads);
  } else if (own > 1) {
    add_gradients(lanes.front(), owned.subspan(1), threads);
  }
}

}  // namespace crate::detail
