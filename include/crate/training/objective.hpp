// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/layers/pass.hpp"
#include "crate/training/measures.hpp"

// What a model is trained for: losses.

namespace crate {

/// The place of a step in the training, for random numbers and schedules.
struct StepPlace {
  std::uint64_t seed = 0;
  Index epoch = 0;
  Index step = 0;  ///< counted from the beginning of the training
};

/// An objective with after_step. If its parameters do not match, the call does not compile, rather than being skipped.
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
///   measure(model, examples, run)                                returns only these measures
/// Both run on several threads at a time; neither may call a Communicator, which transfers gradients meanwhile.
/// `Measures` are sums that are reported and saved by name; `Memory` holds what one thread needs for a call of
/// accumulate, and is reused by the next.
///
/// An objective may have a state: the parts() that it lists, such as a centre or a teacher, are saved in checkpoints
/// and restored with the same bits. The state changes between steps only:
///   after_step(model, measures, place, threads)                  optional: called after each step of the
///                                                                optimiser, with the measures of its batch and the
///                                                                place that it had
/// Anything determined by the place of a step, such as a scheduled temperature, need not be saved.
template <class O, class Model, class Examples>
concept Objective = Measures<typename O::Measures> && std::default_initializable<typename O::Memory> &&
    requires(const O& objective, const Model& model, const Examples& examples, double weight, Model& gradient,
             typename O::Memory& memory, const Run<typename Model::Scalar>& run) {
  { objective.accumulate(model, examples, weight, gradient, memory, run) } -> std::same_as<typename O::Measures>;
  { objective.measure(model, examples, run) } -> std::same_as<typename O::Measures>;
};

/// An objective whose accumulate calls backward once, with the gradient and run that it was given, and leaves the
/// gradient unchanged afterwards, may declare it with its own name: `using OnceBackward = ClassificationObjective`. A
/// derived class must declare it again.
template <class O>
concept CallsBackwardOnce = std::same_as<typename std::remove_cvref_t<O>::OnceBackward, std::remove_cvref_t<O>>;

}  // namespace crate
