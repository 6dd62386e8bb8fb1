// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"

namespace crate {

/// What changes from step to step.
struct StepFactors {
  double rate = 1;      ///< times the optimiser's rate: what the schedule says
  double gradient = 1;  ///< times the gradient: what clipping says
};

/// A rule that changes a model by its gradient. Its moments are models, which its parts() list; `steps` counts the
/// steps taken. Frozen and unused parameters are not touched.
template <class O>
concept Optimiser = requires(O& optimiser, typename O::Model& model, const typename O::Model& gradient,
                             const StepFactors& factors, Threads& threads) {
  optimiser.step(model, gradient, factors, threads);
  { optimiser.steps } -> std::convertible_to<Index>;
  O::parts();
};

}  // namespace crate
