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

/// All parameters of a gradient in the order in which the backward pass completes them: first those that it reports,
/// from the last layer to the first, then the others. The order depends on the structure of the model only.
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

/// sum <- all gradients of all ranks, added in the order of the ranks and of each rank's gradients, over the trainable
/// parameters, of which there must be some: ((g_1 + g_2) + g_3) + ..., as one process adds them. A rank may have no
/// gradients. A dedicated thread adds and sends what is complete, while other threads still compute the rest. Memory
/// and thread are reused for the next sum. Between begin() and end() nobody else may call the communicator.
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
  /// Every begin() must have been followed by end().
  ~SumOverRanks() {
    change_to(State::over);
    adder_.join();
  }

  /// Null for a single process.
  [[nodiscard]] static std::unique_ptr<SumOverRanks> of_several(Communicator& ranks, Threads& threads) {
    return ranks.size() > 1 ? std::make_unique<SumOverRanks>(ranks, threads) : nullptr;
  }

  /// Starts a sum. The lists must have the order of list_as_completed; the models must live, and not move, until end().
  void begin(ParameterList sum, std::vector<ConstParameterList> gradients) {
    sum_ = std::move(sum);
    gradients_ = std::move(gradients);
    complete_of_.assign(gradients_.size(), 0);
    complete_ = gradients_.empty() ? sum_.size() : 0;
    cut_ = cut_trained(sum_);
    place_in_memory();
    change_to(State::adding);
  }

  /// Reports that these parameters of gradient g are final. Parameters that come out of order wait for complete_all.
  void complete(std::size_t g, const ConstParameterList& parameters) {
    std::size_t count = complete_of_[g];  // which one thread at a time changes
    for (const ConstParameter& parameter : parameters)
      if (count < gradients_[g].size() && gradients_[g][count].data == parameter.data) ++count;
    set_complete(g, count);
  }

  /// Reports that all parameters of gradient g are final.
  void complete_all(std::size_t g) { set_complete(g, gradients_[g].size()); }

  /// Waits for the sum. All gradients must be complete. Throws as Communicator::add_in_order.
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

  /// The body of the thread, which computes one sum after another.
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

  void set_complete(std::size_t g, std::size_t count) {
    {
      const std::lock_guard lock(mutex_);
      complete_of_[g] = count;
      const std::size_t before = std::exchange(complete_, *std::min_element(complete_of_.begin(), complete_of_.end()));
      if (complete_ == before) return;
    }
    changed_.notify_all();
  }

  /// Lays out the runs, and thereby the pieces, consecutively.
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

  /// Called when no message has arrived. MPI makes progress only when polled, but polling without pause would take a
  /// core from threads of this rank that still compute: until all gradients are complete, this thread polls rarely.
  /// After that there is nothing else to compute here, and every late poll delays the other ranks: it sleeps for less.
  /// It does not yield, which could cost a whole time slice if other programs run.
  void let_others_compute() {
    constexpr std::chrono::microseconds while_others_compute(500);
    std::unique_lock lock(mutex_);
    const std::size_t before = complete_;
    const bool all_complete = before == sum_.size();
    changed_.wait_for(lock, all_complete ? Communicator::pause_between_looks : while_others_compute,
                      [&] { return complete_ != before; });
  }

  /// Uses all threads once they have finished all gradients, and only this one before.
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
  std::vector<S*> numbers_;                   // of every run, within memory_
  std::vector<std::span<std::byte>> pieces_;  // of memory_

  std::mutex mutex_;  // guards the members below
  std::condition_variable changed_;
  State state_ = State::idle;
  std::vector<std::size_t> complete_of_;  // for every gradient, how many of its parameters are final
  std::size_t complete_ = 0;              // the least of these
  std::exception_ptr failure_;
  std::thread adder_;  // must be constructed last, because it uses the other members
};

/// Sums all lanes of all ranks into the first lane, while backward passes still add to them. The first `own` lanes are
/// computed by this rank.
template <class Model>
class LaneSum {
 public:
  using Scalar = typename Model::Scalar;

  /// `over_ranks` is null for a single rank. All arguments must outlive this.
  LaneSum(Communicator& ranks, std::vector<Model>& lanes, Index own, SumOverRanks<Scalar>* over_ranks, Threads& threads)
      : ranks_(ranks), lanes_(lanes), own_(own), over_ranks_(over_ranks), threads_(threads) {}
  LaneSum(const LaneSum&) = delete;
  LaneSum& operator=(const LaneSum&) = delete;

  /// An observer of the last backward pass into this lane, which reports complete parameters to the sum; empty for a
  /// single rank, or if the model's backward pass may add to a parameter twice.
  [[nodiscard]] GradientObserver observer(Index lane) {
    if constexpr (GoesBackAsChain<Model>)
      if (over_ranks_ != nullptr)
        return [this, lane](const ConstParameterList& parameters) {
          over_ranks_->complete(static_cast<std::size_t>(lane), parameters);
        };
    return {};
  }

  /// Calls add_up(lane, worker), which computes a lane, for each lane of this rank on the threads, and waits for the
  /// sum. Rethrows an exception after it has reported it to the other ranks; all ranks must then gather before anything
  /// else.
  template <class AddUp>
  void compute(const AddUp& add_up) {
    begin();
    run_and_report_errors(ranks_, [&] {
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

  /// After an error, all ranks still add whatever there is, so that no rank waits for a message of this one.
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
