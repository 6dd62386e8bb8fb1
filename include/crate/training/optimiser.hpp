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
  double rate = 1;      ///< times the optimiser's rate: what the schedule says
  double gradient = 1;  ///< times the gradient: what clipping says
  double decay = 1;     ///< times the optimiser's weight decay
  /// The part of the model whose parameters stay as they are; empty for none. Their moments go on, so that the first
  /// step behind it is as long as any other.
  std::string_view frozen_part = {};
};

namespace detail {

/// Whether a parameter of this name belongs to a part of the model, or is it.
[[nodiscard]] inline bool is_inside(std::string_view parameter, std::string_view part) {
  return parameter.starts_with(part) && (parameter.size() == part.size() || parameter[part.size()] == '.');
}

/// Whether a step leaves a parameter of this name as it is.
[[nodiscard]] inline bool is_frozen(std::string_view parameter, const StepFactors& factors) {
  return !factors.frozen_part.empty() && is_inside(parameter, factors.frozen_part);
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
