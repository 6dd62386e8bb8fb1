// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/layers/recording.hpp"
#include "crate/models/image_views.hpp"
#include "crate/operators/self_distillation.hpp"
#include "crate/training/batch_gradient.hpp"
#include "crate/training/communicator.hpp"
#include "crate/training/detail/joined_gradient.hpp"
#include "crate/training/detail/sum_over_ranks.hpp"
#include "crate/training/examples.hpp"
#include "crate/training/gradient.hpp"
#include "crate/training/measures.hpp"
#include "crate/training/objective.hpp"

// The gradient of a loss that couples all examples of a batch, for example through the covariance of their features:
// first the features of all examples, then the loss of these, then the backward pass of all.

namespace crate {

/// A loss of the features that a student and its teacher compute from views of a batch of images.
///   loss(student, teacher, place, threads)   the `measures` of the whole batch, and `by_student`, dL/d(features) of
///                                            every view
///   update_centre(teacher)                   updates the state of the objective after each step
///   views, global_views                      the number of views, and how many of these, the first, the teacher sees
///   other_size                               height and width of the other views
///   evaluate(model, threads, ranks)          measures of the teacher after an epoch, the same on all ranks; replace
///                                            the loss on the trainer's test examples
template <class O, class Model>
concept JointObjective = Measures<typename O::Measures> &&
    requires(const O& objective, O& changed, const ViewFeatures<typename Model::Scalar>& features,
             const StepPlace& place, const Model& model, Threads& threads, Communicator& ranks) {
  { objective.loss(features, features, place, threads).measures } -> std::convertible_to<typename O::Measures>;
  {
    objective.loss(features, features, place, threads).by_student
    } -> std::convertible_to<std::vector<Matrix<typename Model::Scalar>>>;
  changed.update_centre(features);
  { objective.views } -> std::convertible_to<Index>;
  { objective.global_views } -> std::convertible_to<Index>;
  { objective.other_size.height } -> std::convertible_to<Index>;
  { objective.other_size.width } -> std::convertible_to<Index>;
  { objective.evaluate(model, threads, ranks) } -> std::same_as<typename O::Measures>;
};

/// The gradient of a joint objective over a batch, on several threads and ranks: micro-batches go forward and are
/// recorded; the objective compares the features of all ranks; then the backward passes are divided among lanes and
/// added as in BatchGradient. The result is bit-identical for any number of threads and ranks. A rank holds the
/// activations of its share of the batch. Can be moved between steps, not copied.
template <class Model, class O>
requires JointObjective<O, Model>
class JointGradient {
 public:
  using Scalar = typename Model::Scalar;
  using Measures = typename O::Measures;

  /// The objective must outlive this, and may change between steps. Throws OptionError if the cut is out of range, or
  /// if the system refuses the thread that adds over several ranks.
  JointGradient(const Model& model, const O& objective, const BatchCut& cut, Threads& threads,
                Communicator& ranks = single_process())
      : objective_(objective),
        cut_(cut),
        threads_(threads),
        ranks_(ranks),
        workspaces_(static_cast<std::size_t>(threads.count())),
        over_ranks_(detail::SumOverRanks<Scalar>::of_several(ranks, threads)) {
    cut.check();
    lanes_.push_back(zeros_like(model));
  }

  /// The gradient of the last compute().
  [[nodiscard]] const Model& gradient() const { return lanes_.front(); }
  [[nodiscard]] Model& gradient() { return lanes_.front(); }

  /// The teacher's features in the last compute().
  [[nodiscard]] ViewFeatures<Scalar> teacher_features() const { return views_of(teacher_); }

  /// Computes the gradient over the examples with these indices, with augmentation. Returns their measures. Throws
  /// ShapeError unless the source gives as many views as the objective compares.
  template <ExampleSource Source>
  Measures compute(const Model& student, const Model& teacher, const Source& source, std::span<const Index> batch,
                   const StepPlace& place) {
    begin(student, static_cast<Index>(batch.size()));
    std::vector<Index> own;
    for (Index piece = 0; piece < pieces(); ++piece)
      if (owner(piece) == ranks_.rank()) own.push_back(piece);
    run_and_report_errors(ranks_, [&] {
      threads_.for_each(std::ssize(own), [&](Index i, int worker) {
        const Index piece = own[static_cast<std::size_t>(i)];
        const auto indices =
            batch.subspan(static_cast<std::size_t>(first(piece)), static_cast<std::size_t>(size(piece)));
        Threads alone;
        go_forward(student, teacher, source.draw(indices, place.seed, place.epoch), piece, place,
                   run_of(std::ssize(own), worker, alone));
      });
    });
    share_features();
    const auto loss = objective_.loss(views_of(student_), views_of(teacher_), place, threads_);
    go_back(student, loss.by_student);
    // Where the failure of another rank is noticed, before the gradient is used.
    static_cast<void>(ranks_.gather("gradients of a batch", ""));
    return loss.measures;
  }

 private:
  [[nodiscard]] Index pieces() const { return (count_ + cut_.micro_batch - 1) / cut_.micro_batch; }
  [[nodiscard]] Index first(Index piece) const { return piece * cut_.micro_batch; }
  [[nodiscard]] Index size(Index piece) const { return std::min(cut_.micro_batch, count_ - first(piece)); }
  [[nodiscard]] Index lanes() const { return std::min(pieces(), cut_.lanes); }
  [[nodiscard]] int owner(Index piece) const { return RankShare::owner(piece % lanes(), lanes(), ranks_); }
  [[nodiscard]] Index views() const { return objective_.views; }
  [[nodiscard]] Recording<Model>& recording(Index piece, std::size_t view) {
    return recordings_[static_cast<std::size_t>(piece * views()) + view];
  }

  static ViewFeatures<Scalar> views_of(const std::vector<Matrix<Scalar>>& features) {
    ViewFeatures<Scalar> result;
    for (const Matrix<Scalar>& view : features) result.push_back(map_of(view));
    return result;
  }

  /// Allocates the features and, if there are views of another size, resizes the student for them.
  void begin(const Model& student, Index count) {
    count_ = count;
    const Matrix<Scalar> none = Matrix<Scalar>::Zero(student.output_dim(), count);
    student_.assign(static_cast<std::size_t>(views()), none);
    teacher_.assign(static_cast<std::size_t>(objective_.global_views), none);
    const auto passes = static_cast<std::size_t>(pieces() * views());
    if (recordings_.size() != passes) recordings_ = std::vector<Recording<Model>>(passes);
    other_.reset();
    if (views() > objective_.global_views)
      other_ = resized(student, objective_.other_size.height, objective_.other_size.width);
  }

  [[nodiscard]] bool is_of_own_size(std::size_t view) const {
    return !other_ || static_cast<Index>(view) < objective_.global_views;
  }

  [[nodiscard]] Run<Scalar> run_of(Index piece_count, int worker, Threads& alone) {
    return {.threads = piece_count > 1 ? &alone : &threads_,
            .workspace = &workspaces_[static_cast<std::size_t>(worker)]};
  }

  void go_forward(const Model& student, const Model& teacher, const ImageViews<Scalar>& examples, Index piece,
                  const StepPlace& place, Run<Scalar> run) {
    check_size("views of an image", static_cast<Index>(examples.views.size()), views());
    for (std::size_t v = 0; v < examples.views.size(); ++v) {
      run.dropout = {.seed = place.seed,
                     .step = static_cast<std::uint64_t>(place.step),
                     .first_set = static_cast<Index>(v) * count_ + first(piece)};
      const Images<Scalar> images(examples.views[v]);
      const Model& model = is_of_own_size(v) ? student : *other_;
      student_[v].middleCols(first(piece), size(piece)) = forward_kept(model, images, recording(piece, v), run);
      if (v < teacher_.size()) forward(teacher, images, teacher_[v].middleCols(first(piece), size(piece)), run);
    }
  }

  /// Fills in the features of other ranks: for each of their micro-batches the features of all views.
  void share_features() {
    share_blocks(ranks_, "features of a batch", [&](int rank, const auto& visit) {
      for (Index piece = 0; piece < pieces(); ++piece) {
        if (owner(piece) != rank) continue;
        for (auto* const features : {&student_, &teacher_})
          for (Matrix<Scalar>& view : *features) {
            auto block = view.middleCols(first(piece), size(piece));
            visit(std::as_writable_bytes(std::span(block.data(), static_cast<std::size_t>(block.size()))));
          }
      }
    });
  }

  void go_back(const Model& student, const std::vector<Matrix<Scalar>>& by_student) {
    const RankShare own(lanes(), ranks_);
    while (std::ssize(lanes_) < own.count) lanes_.push_back(zeros_like(student));
    detail::LaneSum<Model> sum(ranks_, lanes_, own.count, over_ranks_.get(), threads_);
    sum.compute([&](Index i, int worker) {
      Threads alone;
      Run<Scalar> run = run_of(own.count, worker, alone);
      run.on_complete = sum.observer(i);
      go_back_through(own.first + i, student, by_student, lanes_[static_cast<std::size_t>(i)], run);
    });
  }

  /// Backward passes through the micro-batches of a lane, view by view. During the last pass, calls run.on_complete for
  /// parameters that are complete.
  void go_back_through(Index first_piece, const Model& student, const std::vector<Matrix<Scalar>>& by_student,
                       Model& gradient, Run<Scalar> run) {
    Threads alone;
    clear_gradient(gradient, alone);
    const GradientObserver observer = std::exchange(run.on_complete, {});
    std::optional<detail::JoinedGradient<Model>> by_other;
    if (other_) by_other.emplace(*other_, gradient);
    for (Index piece = first_piece; piece < pieces(); piece += lanes())
      for (std::size_t v = 0; v < by_student.size(); ++v) {
        const auto cotangent = by_student[v].middleCols(first(piece), size(piece));
        const bool is_last = piece + lanes() >= pieces() && v + 1 == by_student.size();
        if (is_of_own_size(v)) {
          if (is_last) run.on_complete = observer;
          backward(student, cotangent, recording(piece, v), gradient, run);
        } else {
          if (is_last && observer) run.on_complete = [&](const auto& complete) { observer(by_other->join(complete)); };
          backward(*other_, cotangent, recording(piece, v), by_other->gradient(), run);
        }
      }
    if (by_other) by_other->join_rest(patch_grid(student));
  }

  const O& objective_;
  BatchCut cut_;
  Threads& threads_;
  Communicator& ranks_;
  std::vector<Workspace> workspaces_;  // of each thread
  std::vector<Model> lanes_;           // as many as any batch has needed so far
  std::optional<Model> other_;         // the student, for views of another size
  std::unique_ptr<detail::SumOverRanks<Scalar>> over_ranks_;
  Index count_ = 0;                                // images of the batch
  std::vector<Matrix<Scalar>> student_, teacher_;  // features of every view, p x B
  std::vector<Recording<Model>> recordings_;       // of every view of every piece
};

}  // namespace crate
