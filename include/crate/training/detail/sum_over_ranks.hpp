// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
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
  if constexpr (GoesBackAsChain<Model>)
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
/// A thread of its own adds and passes on what is complete, while others still compute the rest. Memory and thread
/// serve one sum after another. From begin() to end() nobody else may call the communicator.
template <Scalar S>
class SumOverRanks {
 public:
  /// Throws OptionError if the system refuses to start the thread.
  SumOverRanks(Communicator& ranks, Threads& threads) : ranks_(ranks), threads_(threads) {
    try {
      adder_ = std::thread([this] { serve(); });
    } catch (const std::system_error& refusal) {
      throw OptionError(concatenate("threads: expected to start one that adds gradients, found ", refusal.what()));
    }
  }
  SumOverRanks(const SumOverRanks&) = delete;
  SumOverRanks& operator=(const SumOverRanks&) = delete;
  /// What was begun must have ended.
  ~SumOverRanks() {
    change_to(State::over);
    adder_.join();
  }

  /// None where one process is alone.
  [[nodiscard]] static std::unique_ptr<SumOverRanks> of_several(Communicator& ranks, Threads& threads) {
    return ranks.size() > 1 ? std::make_unique<SumOverRanks>(ranks, threads) : nullptr;
  }

  /// Begins to add. The lists are as list_as_completed gives them; the models must live, and stay where they are, until
  /// end().
  void begin(ParameterList sum, std::vector<ConstParameterList> gradients) {
    sum_ = std::move(sum);
    gradients_ = std::move(gradients);
    complete_of_.assign(gradients_.size(), 0);
    complete_ = gradients_.empty() ? sum_.size() : 0;
    cut_ = cut_trained(sum_);
    place_in_memory();
    change_to(State::adding);
  }

  /// Nothing is added any more to these parameters of gradient g. Those that come out of order wait for the end.
  void complete(std::size_t g, const ConstParameterList& parameters) {
    std::size_t count = complete_of_[g];  // which one thread at a time changes
    for (const ConstParameter& parameter : parameters)
      if (count < gradients_[g].size() && gradients_[g][count].data == parameter.data) ++count;
    tell(g, count);
  }

  /// Nothing is added any more to any parameter of gradient g.
  void complete_all(std::size_t g) { tell(g, gradients_[g].size()); }

  /// Waits until the sum is there. All gradients must be complete. Throws as Communicator::add_in_order.
  void end() {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return state_ == State::idle; });
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    for_each_run(cut_, threads_, [&](const TrainedNumbers& run, std::size_t i) { run.of<S>(sum_) = in_memory(i); });
  }

 private:
  enum class State { idle, adding, over };

  /// What the thread does: one sum after another.
  void serve() {
    while (await_sum()) {
      try {
        ranks_.add_in_order(pieces_, {.is_complete = [this](std::size_t piece) { return is_complete(piece); },
                                      .add = [this](std::size_t piece) { add(piece); },
                                      .pause = [this] { let_others_compute(); }});
      } catch (...) { failure_ = std::current_exception(); }
      change_to(State::idle);
    }
  }

  /// Returns true when the first parameters of a sum are complete, false when there will be no more sums.
  [[nodiscard]] bool await_sum() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return state_ == State::over || (state_ == State::adding && complete_ > 0); });
    return state_ == State::adding;
  }

  void change_to(State state) {
    {
      const std::lock_guard lock(mutex_);
      state_ = state;
    }
    changed_.notify_all();
  }

  void tell(std::size_t g, std::size_t count) {
    {
      const std::lock_guard lock(mutex_);
      complete_of_[g] = count;
      const std::size_t before = std::exchange(complete_, *std::min_element(complete_of_.begin(), complete_of_.end()));
      if (complete_ == before) return;
    }
    changed_.notify_all();
  }

  /// Lays the runs side by side, and so the pieces.
  void place_in_memory() {
    Index total = 0;
    for (const TrainedNumbers& run : cut_.runs) total += run.size;
    memory_.resize(static_cast<std::size_t>(total));
    numbers_.clear();
    pieces_.clear();
    S* next = memory_.data();
    for (std::size_t run = 0; const std::size_t end : cut_.ends) {
      S* const begin = next;
      for (; run < end; ++run) next = numbers_.emplace_back(next) + cut_.runs[run].size;
      pieces_.push_back(std::as_writable_bytes(std::span(begin, next)));
    }
  }

  [[nodiscard]] auto in_memory(std::size_t run) const {
    return Eigen::Map<Eigen::Array<S, Eigen::Dynamic, 1>>(numbers_[run], cut_.runs[run].size);
  }

  [[nodiscard]] bool is_complete(std::size_t piece) {
    const std::size_t last_parameter = cut_.runs[cut_.ends[piece] - 1].parameter;
    const std::lock_guard lock(mutex_);
    return complete_ > last_parameter;
  }

  /// Called when no message has come. Messages move on by looks alone, but a thread that looks without pause would take
  /// a core from those of this rank that still compute: it looks rarely then, for a small part of its time. When all
  /// gradients are complete nothing else is to do here, and every look that comes late holds up the other ranks: it
  /// sleeps for less, but does not yield: where other programs run, that costs a whole slice of time.
  void let_others_compute() {
    constexpr std::chrono::microseconds while_others_compute(500);
    std::unique_lock lock(mutex_);
    const std::size_t before = complete_;
    const bool all_complete = before == sum_.size();
    changed_.wait_for(lock, all_complete ? Communicator::pause_between_looks : while_others_compute,
                      [&] { return complete_ != before; });
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
  Threads& threads_;
  ParameterList sum_;
  std::vector<ConstParameterList> gradients_;
  TrainedPieces cut_;
  std::vector<S> memory_;
  std::vector<S*> numbers_;                   // of every run, in the memory
  std::vector<std::span<std::byte>> pieces_;  // of the memory

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  State state_ = State::idle;
  std::vector<std::size_t> complete_of_;  // of every gradient, how many of its parameters
  std::size_t complete_ = 0;              // of all of them: the least of these
  std::exception_ptr failure_;
  std::thread adder_;  // begins last, as it uses the others
};

/// Makes the first of the lanes the sum of all lanes of all ranks, while backward passes still add to them. This rank
/// has `own` of them, the first ones here.
template <class Model>
class LaneSum {
 public:
  using Scalar = typename Model::Scalar;

  /// `over_ranks` is there if there are several ranks. What is handed over must live as long as this.
  LaneSum(Communicator& ranks, std::vector<Model>& lanes, Index own, SumOverRanks<Scalar>* over_ranks, Threads& threads)
      : ranks_(ranks), lanes_(lanes), own_(own), over_ranks_(over_ranks), threads_(threads) {}
  LaneSum(const LaneSum&) = delete;
  LaneSum& operator=(const LaneSum&) = delete;

  /// To be told of the last backward pass that adds to this lane; nothing to tell if a pass might add to it twice.
  [[nodiscard]] GradientObserver observer(Index lane) {
    if constexpr (GoesBackAsChain<Model>)
      if (over_ranks_ != nullptr)
        return [this, lane](const ConstParameterList& parameters) {
          over_ranks_->complete(static_cast<std::size_t>(lane), parameters);
        };
    return {};
  }

  /// Calls add_up(lane, worker), which computes the lane, for each one of this rank on the threads, and waits until the
  /// sum is there. Throws what that throws, and tells the other ranks: behind it, all must gather before anything else.
  template <class AddUp>
  void compute(const AddUp& add_up) {
    begin();
    do_or_tell(ranks_, [&] {
      try {
        threads_.for_each(own_, [&](Index lane, int worker) {
          add_up(lane, worker);
          complete(lane);
        });
      } catch (...) {
        end_anyhow();
        throw;
      }
      end();
    });
  }

 private:
  void begin() {
    if (over_ranks_ == nullptr) return;
    std::vector<ConstParameterList> lists = {list_as_completed(std::as_const(lanes_.front()))};
    for (Index lane = 1; lane < own_; ++lane)
      lists.push_back(list_as_completed(std::as_const(lanes_[static_cast<std::size_t>(lane)])));
    ParameterList sum = changeable(lists.front());
    if (own_ == 0) lists.clear();
    over_ranks_->begin(std::move(sum), std::move(lists));
  }

  void complete(Index lane) {
    if (over_ranks_ != nullptr) over_ranks_->complete_all(static_cast<std::size_t>(lane));
  }

  void end() {
    if (over_ranks_ != nullptr)
      over_ranks_->end();
    else if (own_ > 1)
      add_gradients(lanes_.front(), std::span<const Model>(lanes_).subspan(1, static_cast<std::size_t>(own_) - 1),
                    threads_);
  }

  /// After an error all ranks still add, whatever is there, so that none waits for a message of this one.
  void end_anyhow() {
    if (over_ranks_ == nullptr) return;
    for (Index lane = 0; lane < own_; ++lane) complete(lane);
    over_ranks_->end();
  }

  Communicator& ranks_;
  std::vector<Model>& lanes_;
  Index own_;
  SumOverRanks<Scalar>* over_ranks_;
  Threads& threads_;
};

}  // namespace crate::detail
