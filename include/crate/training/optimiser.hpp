// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <string_view>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"

namespace crate {

/// What changes from step to step.
struct StepFactors {
  double rate = 1;             ///< times the optimiser's rate: what the schedule says
  double gradient = 1;         ///< times the gradient: what clipping says
  double decay = 1;            ///< times the optimiser's weight decay
  std::string_view held = {};  ///< parameters inside the part of this name stay as they are; empty for none
};

namespace detail {

/// The parameters of a model, of which those that a step holds pass for frozen.
[[nodiscard]] inline ParameterList moved_by(ParameterList parameters, const StepFactors& factors) {
  if (!factors.held.empty())
    for (Parameter& parameter : parameters)
      if (parameter.name == factors.held || parameter.name.starts_with(concatenate(factors.held, '.')))
        parameter.kind = ParameterKind::frozen;
  return parameters;
}

}  // namespace detail

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
