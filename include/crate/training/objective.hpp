// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/layers/pass.hpp"
#include "crate/training/measures.hpp"

// What a model is trained for.

namespace crate {

/// Where a step stands in the training, for whatever draws random numbers or follows a schedule.
struct StepPlace {
  std::uint64_t seed = 0;
  Index epoch = 0;
  Index step = 0;  ///< counted from the beginning of the training
};

/// An objective that is told of every step. One whose after_step takes something else is an error where it is told, not
/// left untold.
template <class O, class Model>
concept HasAfterStep = requires {
  &O::after_step;
}
|| requires(O& objective, const Model& model, const typename O::Measures& measures, const StepPlace& place,
            Threads& threads) {
  objective.after_step(model, measures, place, threads);
};

/// A loss of a model on examples.
///   accumulate(model, examples, weight, gradient, memory, run)   adds `weight` times the gradient of the sum of the
///                                                                examples' losses to `gradient`, a model, and returns
///                                                                its measures of them
///   measure(model, examples, run)                                returns these alone
/// Both run on several threads at a time; neither calls a Communicator, over which gradients travel meanwhile.
/// `Measures` are the objective's own, sums that are told and kept by name; `Memory` holds what a thread needs for
/// one call of accumulate, and keeps for the next.
///
/// An objective may have a state: what it lists as its parts(), such as a centre or a teacher, is saved in checkpoints
/// and restored with the same bits. It changes between steps alone:
///   after_step(model, measures, place, threads)                  if there is one, is called after each step of the
///                                                                optimiser, with the measures of its batch and the
///                                                                place that it had
/// What follows from the place of a step, such as the schedule of a temperature, need not be saved.
template <class O, class Model, class Examples>
concept Objective = Measures<typename O::Measures> && std::default_initializable<typename O::Memory> &&
    requires(const O& objective, const Model& model, const Examples& examples, double weight, Model& gradient,
             typename O::Memory& memory, const Run<typename Model::Scalar>& run) {
  { objective.accumulate(model, examples, weight, gradient, memory, run) } -> std::same_as<typename O::Measures>;
  { objective.measure(model, examples, run) } -> std::same_as<typename O::Measures>;
};

/// An objective that calls backward once in accumulate, with the gradient and the run that it was given, and then
/// leaves the gradient alone, may say so by its own name, `using OnceBackward = ClassificationObjective`: one that
/// derives from it has not said so.
template <class O>
concept GoesBackOnce = std::same_as<typename std::remove_cvref_t<O>::OnceBackward, std::remove_cvref_t<O>>;

}  // namespace crate
