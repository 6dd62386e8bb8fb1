// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <future>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"
#include "crate/layers/chain.hpp"
#include "crate/training/communicator.hpp"
#include "crate/training/detail/trained_pieces.hpp"
#include "crate/training/gradient.hpp"

namespace crate::detail {

/// All parameters of a gradient in the order in which the backward pass completes them: first those that it tells of,
/// from the last layer on, then the others. Models of one structure have one order.
template <class Model>
[[nodiscard]] ConstParameterList list_as_completed(const Model& gradient) {
  ConstParameterList others = list_parameters(gradient), list;
  if constexpr (IsChain<Model>)
    Model::for_each_complete(gradient, [&](const auto& part) {
      for (const ConstParameter& complete : list_parameters(part)) {
        const auto found =
            std::find_if(others.begin(), others.end(), [&](const auto& other) { return other.data == complete.data; });
        if (found == others.end()) continue;
        list.push_back(*found);
        others.erase(found);
      }
    });
  list.insert(list.end(), others.begin(), others.end());
  return list;
}

/// sum <- all gradients of all ranks, added in the order of the ranks and of each one's gradients, over the trainable
/// parameters, of which there must be some: ((g_1 + g_2) + g_3) + ..., as one process adds them. A rank may have none.
/// A thread of its own adds and passes on what is complete, while the others still compute the rest.
template <Scalar S>
class SumOverRanks {
 public:
  /// Begins to add. Lists are those of list_as_completed; what they are of, and all else, must live until the end.
  /// `memory` is kept for the next time.
  SumOverRanks(Communicator& ranks, ParameterList sum, std::vector<ConstParameterList> gradients,
               std::vector<S>& memory, Threads& threads)
      : ranks_(ranks),
        sum_(std::move(sum)),
        gradients_(std::move(gradients)),
        threads_(threads),
        cut_(cut_trained(sum_)),
        complete_(gradients_.size()) {
    place_in(memory);
    adding_ = std::async(std::launch::async, [this] {
      for (const std::atomic<std::size_t>& count : complete_) count.wait(0);
      ranks_.add_in_order(
          pieces_, [this](std::size_t piece) { return is_complete(piece); }, [this](std::size_t piece) { add(piece); });
    });
  }
  SumOverRanks(const SumOverRanks&) = delete;
  SumOverRanks& operator=(const SumOverRanks&) = delete;

  /// After an error all ranks still add, whatever is there, so that none waits for a message of this one.
  ~SumOverRanks() {
    for (std::size_t g = 0; g < gradients_.size(); ++g) complete(g);
  }

  /// Nothing is added any more to these parameters of gradient g. Those that come out of order wait for the end.
  void complete(std::size_t g, const ConstParameterList& parameters) {
    std::size_t count = complete_[g].load(std::memory_order_relaxed);
    for (const ConstParameter& parameter : parameters)
      if (count < gradients_[g].size() && gradients_[g][count].data == parameter.data) ++count;
    tell(g, count);
  }

  /// Nothing is added any more to any parameter of gradient g.
  void complete(std::size_t g) { tell(g, gradients_[g].size()); }

  /// Waits until the sum is there. All gradients must be complete. Throws as Communicator::add_in_order.
  void wait() {
    adding_.get();
    for_each_run(cut_, threads_, [&](const TrainedNumbers& run, std::size_t i) { run.of<S>(sum_) = in_memory(i); });
  }

 private:
  /// Lays the runs side by side, and so the pieces.
  void place_in(std::vector<S>& memory) {
    Index total = 0;
    for (const TrainedNumbers& run : cut_.runs) total += run.size;
    memory.resize(static_cast<std::size_t>(total));
    S* next = memory.data();
    for (std::size_t run = 0; const std::size_t end : cut_.ends) {
      S* const begin = next;
      for (; run < end; ++run) next = numbers_.emplace_back(next) + cut_.runs[run].size;
      pieces_.push_back(std::as_writable_bytes(std::span(begin, next)));
    }
  }

  void tell(std::size_t g, std::size_t count) {
    complete_[g].store(count, std::memory_order_release);
    complete_[g].notify_one();
  }

  [[nodiscard]] auto in_memory(std::size_t run) const {
    return Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1>>(numbers_[run], cut_.runs[run].size);
  }

  [[nodiscard]] bool is_complete(std::size_t piece) const {
    const std::size_t last_parameter = cut_.runs[cut_.ends[piece] - 1].parameter;
    return std::all_of(complete_.begin(), complete_.end(), [&](const std::atomic<std::size_t>& count) {
      return count.load(std::memory_order_acquire) > last_parameter;
    });
  }

  /// The team helps when it is through with the gradients, and is not taken away from them before.
  void add(std::size_t piece) {
    constexpr Index numbers_of_a_thread = 2048;
    Threads alone;
    Threads& team = is_complete(cut_.ends.size() - 1) ? threads_ : alone;
    for (std::size_t run = piece == 0 ? 0 : cut_.ends[piece - 1]; run < cut_.ends[piece]; ++run)
      team.for_each_range(cut_.runs[run].size, numbers_of_a_thread,
                          [&](Index first, Index size, int) { add_run(run, first, size); });
  }

  void add_run(std::size_t run, Index first, Index size) {
    TrainedNumbers part = cut_.runs[run];
    part.first += first;
    part.size = size;
    auto added = in_memory(run).segment(first, size);
    for (std::size_t g = 0; g < gradients_.size(); ++g) {
      if (ranks_.is_first() && g == 0)
        added = part.of<S>(gradients_[g]);
      else
        added += part.of<S>(gradients_[g]);
    }
  }

  Communicator& ranks_;
  ParameterList sum_;
  std::vector<ConstParameterList> gradients_;
  Threads& threads_;
  TrainedPieces cut_;
  std::vector<S*> numbers_;                         // of every run, in the memory
  std::vector<std::span<std::byte>> pieces_;        // of the memory
  std::vector<std::atomic<std::size_t>> complete_;  // of every gradient, how many of its parameters
  std::future<void> adding_;                        // ends first, as it needs the others
};

/// Makes the first of the lanes the sum of all lanes of all ranks, while backward passes still add to them. This rank
/// has `own` of them, the first ones here.
template <class Model>
class LaneSum {
 public:
  using Scalar = typename Model::Scalar;

  /// Begins to sum; what is handed over must live as long as this.
  LaneSum(Communicator& ranks, std::vector<Model>& lanes, Index own, std::vector<Scalar>& memory, Threads& threads)
      : lanes_(lanes), own_(own), threads_(threads) {
    if (ranks.size() == 1) return;
    std::vector<ConstParameterList> lists;
    for (Index lane = 0; lane < own; ++lane) lists.push_back(list_as_completed(lanes[static_cast<std::size_t>(lane)]));
    over_ranks_.emplace(ranks, changeable(list_as_completed(std::as_const(lanes.front()))), std::move(lists), memory,
                        threads);
  }

  /// To be told of the last backward pass that adds to this lane.
  [[nodiscard]] GradientObserver observer(Index lane) {
    if (!over_ranks_) return {};
    return [this, lane](const ConstParameterList& parameters) {
      over_ranks_->complete(static_cast<std::size_t>(lane), parameters);
    };
  }

  /// This lane is complete.
  void complete(Index lane) {
    if (over_ranks_) over_ranks_->complete(static_cast<std::size_t>(lane));
  }

  /// Waits until the sum is there. All lanes must be complete.
  void wait() {
    if (over_ranks_)
      over_ranks_->wait();
    else if (own_ > 1)
      add_gradients(lanes_.front(), std::span<const Model>(lanes_).subspan(1, static_cast<std::size_t>(own_) - 1),
                    threads_);
  }

 private:
  std::vector<Model>& lanes_;
  Index own_;
  Threads& threads_;
  std::optional<SumOverRanks<Scalar>> over_ranks_;
};

/// The sum over ranks of lanes that are complete already.
template <class Model>
void sum_lanes(Communicator& ranks, std::vector<Model>& lanes, Index own, std::vector<typename Model::Scalar>& memory,
               Threads& threads) {
  LaneSum<Model> sum(ranks, lanes, own, memory, threads);
  for (Index lane = 0; lane < own; ++lane) sum.complete(lane);
  sum.wait();
}

}  // namespace crate::detail
