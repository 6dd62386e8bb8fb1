// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <string_view>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"

namespace crate {

/// Factors that change from step to step.
struct StepFactors {
  double rate = 1;      ///< factor of the learning rate, from the schedule
  double gradient = 1;  ///< factor of the gradient, from clipping
  double decay = 1;     ///< factor of the weight decay
  /// The part of the model whose parameters stay fixed; empty for none. Their moments are still updated, so that the
  /// first step after freezing has the usual length.
  std::string_view frozen_part = {};
};

namespace detail {

/// Whether a parameter of this name belongs to this part of the model, or is the part itself.
[[nodiscard]] inline bool is_inside(std::string_view parameter, std::string_view part) {
  return parameter.starts_with(part) && (parameter.size() == part.size() || parameter[part.size()] == '.');
}

/// Whether a step leaves the parameter of this name unchanged.
[[nodiscard]] inline bool is_frozen(std::string_view parameter, const StepFactors& factors) {
  return !factors.frozen_part.empty() && is_inside(parameter, factors.frozen_part);
}

}  // namespace detail

/// A rule that updates a model with its gradient. Its moments are models, listed by parts(); `steps` counts the steps
/// taken. Frozen and unused parameters stay unchanged.
template <class O>
concept Optimiser = requires(O& optimiser, typename O::Model& model, const typename O::Model& gradient,
                             const StepFactors& factors, Threads& threads) {
  optimiser.step(model, gradient, factors, threads);
  { optimiser.steps } -> std::convertible_to<Index>;
  O::parts();
};

}  // namespace crate
