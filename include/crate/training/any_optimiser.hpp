// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <tuple>
#include <utility>
#include <variant>

#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/training/adamw.hpp"
#include "crate/training/lion.hpp"
#include "crate/training/optimiser.hpp"
#include "crate/training/sgd.hpp"

namespace crate {

/// Options of an optimiser that is chosen at run time.
using OptimiserOptions = std::variant<AdamWOptions, LionOptions, SgdOptions>;

/// AdamW, Lion or SGD, chosen by the type of the options: one class, so that code that trains is compiled only once.
/// Its moments have the names of the chosen rule, so checkpoints are interchangeable with those of AdamW, Lion or Sgd.
template <class Parameters>
struct AnyOptimiser {
  using Model = Parameters;
  using Scalar = typename Model::Scalar;

  OptimiserOptions options;
  std::optional<Model> first_moment = {}, second_moment = {};  ///< of AdamW
  std::optional<Model> moment = {};                            ///< of Lion
  std::optional<Model> velocity = {};                          ///< of SGD
  Index steps = 0;

  /// Moments of zero. Throws OptionError on an option out of range.
  AnyOptimiser(const Model& model, const OptimiserOptions& rule_options) : options(rule_options) {
    std::visit([](const auto& rule) { rule.check(); }, options);
    if (std::holds_alternative<AdamWOptions>(options)) {
      first_moment = zeros_like(model);
      second_moment = first_moment;
    } else if (std::holds_alternative<LionOptions>(options)) {
      moment = zeros_like(model);
    } else {
      velocity = zeros_like(model);
    }
  }

  static constexpr auto parts() {
    return std::tuple{part("first_moment", &AnyOptimiser::first_moment),
                      part("second_moment", &AnyOptimiser::second_moment), part("moment", &AnyOptimiser::moment),
                      part("velocity", &AnyOptimiser::velocity)};
  }

  /// Throws ShapeError if the gradient has another structure than the model.
  void step(Model& model, const Model& gradient, const StepFactors& factors, Threads& threads) {
    const ParameterList parameters = list_parameters(model);
    const ConstParameterList gradients = list_parameters(gradient);
    if (const auto* const adamw = std::get_if<AdamWOptions>(&options))
      detail::take_adamw_step<Scalar>(*adamw, factors, steps + 1, parameters, gradients,
                                      list_parameters(first_moment.value()), list_parameters(second_moment.value()),
                                      threads);
    else if (const auto* const lion = std::get_if<LionOptions>(&options))
      detail::take_lion_step<Scalar>(*lion, factors, parameters, gradients, list_parameters(moment.value()), threads);
    else
      detail::take_sgd_step<Scalar>(std::get<SgdOptions>(options), factors, parameters, gradients,
                                    list_parameters(velocity.value()), threads);
    ++steps;
  }
};

}  // namespace crate
