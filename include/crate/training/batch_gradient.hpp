// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/pass.hpp"
#include "crate/training/communicator.hpp"
#include "crate/training/detail/sum_over_ranks.hpp"
#include "crate/training/examples.hpp"
#include "crate/training/gradient.hpp"
#include "crate/training/objective.hpp"

namespace crate {

/// How a batch is divided. Besides the batch itself, only this affects the last bits of the result.
struct BatchCut {
  /// Examples that one thread passes through the model at a time, >= 1; it holds their activations. If the whole batch
  /// is a single micro-batch, all threads work together inside the layers.
  Index micro_batch = 16;
  Index lanes = 4;  ///< partial gradients, called lanes, >= 1; at most this many threads of all ranks work at once

  void check() const {
    check_option(micro_batch >= 1, "micro-batch >= 1", micro_batch);
    check_option(lanes >= 1, "lanes >= 1", lanes);
  }
};

/// The gradient of an objective's mean over a batch, on several threads and ranks. The batch is divided into
/// micro-batches, which are assigned to lanes in turn; each rank computes some of the lanes. Every lane sums its
/// gradient, and the lanes are added in order, so all ranks get the same bits for any number of threads and ranks. If
/// the objective satisfies CallsBackwardOnce, a layer's gradient is sent to the other ranks as soon as the last
/// micro-batches have passed it. If O is a reference, the objective must outlive this, and may change between steps.
/// Can be moved between steps, not copied.
template <class Model, class O>
class BatchGradient {
 public:
  using Measures = typename std::remove_cvref_t<O>::Measures;

  /// Throws OptionError if the cut is out of range, or if the system refuses the thread that adds over several ranks.
  BatchGradient(const Model& model, O objective, const BatchCut& cut, Threads& threads,
                Communicator& ranks = single_process())
      : objective_(std::forward<O>(objective)),
        cut_(cut),
        threads_(threads),
        ranks_(ranks),
        over_ranks_(detail::SumOverRanks<typename Model::Scalar>::of_several(ranks, threads)) {
    cut.check();
    lanes_.push_back(zeros_like(model));
    workers_ = std::vector<Worker>(static_cast<std::size_t>(threads.count()));
  }

  /// The gradient of the last compute().
  [[nodiscard]] const Model& gradient() const { return lanes_.front(); }
  [[nodiscard]] Model& gradient() { return lanes_.front(); }
  [[nodiscard]] const std::remove_cvref_t<O>& objective() const { return objective_; }

  /// Computes the gradient over the examples with these indices, with augmentation. Returns their measures.
  template <ExampleSource Source>
  Measures compute(const Model& model, const Source& source, std::span<const Index> batch, const StepPlace& place) {
    const auto count = static_cast<Index>(batch.size());
    const Index pieces = (count + cut_.micro_batch - 1) / cut_.micro_batch;
    const Index lanes = std::min(pieces, cut_.lanes);
    std::vector<Measures> sums(static_cast<std::size_t>(pieces));
    sum_gradients(model, source, batch, place, lanes, sums);
    share_values(ranks_, "sums over a batch", sums,
                 [&](Index piece) { return RankShare::owner(piece % lanes, lanes, ranks_); });
    return total_of(sums);
  }

  /// The objective's measures of all examples of a source, without augmentation; the ranks divide the work.
  template <ExampleSource Source>
  [[nodiscard]] Measures measure(const Model& model, const Source& source) {
    const Index pieces = (source.size() + cut_.micro_batch - 1) / cut_.micro_batch;
    std::vector<Measures> sums(static_cast<std::size_t>(pieces));
    const RankShare own(pieces, ranks_);
    run_and_report_errors(ranks_, [&] {
      threads_.for_each(own.count, [&](Index i, int worker) {
        const Index piece = own.first + i, first = piece * cut_.micro_batch;
        std::vector<Index> indices(static_cast<std::size_t>(std::min(cut_.micro_batch, source.size() - first)));
        std::iota(indices.begin(), indices.end(), first);
        Threads alone;
        sums[static_cast<std::size_t>(piece)] =
            objective_.measure(model, source.take(indices),
                               {.threads = &alone,
                                .workspace = &workers_[static_cast<std::size_t>(worker)].workspace,
                                .dropout = {.first_set = first}});
      });
    });
    share_values(ranks_, "sums over a source", sums,
                 [&](Index piece) { return RankShare::owner(piece, pieces, ranks_); });
    return total_of(sums);
  }

 private:
  struct Worker {
    Workspace workspace;
    typename std::remove_cvref_t<O>::Memory memory;
  };

  /// Sums all lanes of all ranks into the first lane, and fills in the measures of this rank's micro-batches.
  template <class Source>
  void sum_gradients(const Model& model, const Source& source, std::span<const Index> batch, const StepPlace& place,
                     Index lanes, std::vector<Measures>& sums) {
    const auto count = static_cast<Index>(batch.size());
    const RankShare own(lanes, ranks_);
    while (std::ssize(lanes_) < own.count) lanes_.push_back(zeros_like(model));
    detail::LaneSum<Model> sum(ranks_, lanes_, own.count, over_ranks_.get(), threads_);
    sum.compute([&](Index i, int worker) {
      Model& gradient = lanes_[static_cast<std::size_t>(i)];
      Worker& memory = workers_[static_cast<std::size_t>(worker)];
      Threads alone;
      clear_gradient(gradient, alone);
      for (Index piece = own.first + i; piece < std::ssize(sums); piece += lanes) {
        const Index first = piece * cut_.micro_batch, size = std::min(cut_.micro_batch, count - first);
        const auto indices = batch.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size));
        Run<typename Model::Scalar> run{.threads = own.count > 1 ? &alone : &threads_, .workspace = &memory.workspace};
        run.dropout = {.seed = place.seed, .step = static_cast<std::uint64_t>(place.step), .first_set = first};
        if constexpr (CallsBackwardOnce<O>)
          if (piece + lanes >= std::ssize(sums)) run.on_complete = sum.observer(i);
        sums[static_cast<std::size_t>(piece)] =
            objective_.accumulate(model, source.draw(indices, place.seed, place.epoch), 1 / static_cast<double>(count),
                                  gradient, memory.memory, run);
      }
    });
  }

  [[nodiscard]] static Measures total_of(const std::vector<Measures>& sums) {
    Measures total;
    for (const Measures& sum : sums) total += sum;
    return total;
  }

  O objective_;
  BatchCut cut_;
  Threads& threads_;
  Communicator& ranks_;
  std::vector<Model> lanes_;  // of this rank, as many as any batch has needed so far
  std::unique_ptr<detail::SumOverRanks<typename Model::Scalar>> over_ranks_;
  std::vector<Worker> workers_;
};

}  // namespace crate
