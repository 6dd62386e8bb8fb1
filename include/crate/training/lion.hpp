// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/training/detail/trained_pieces.hpp"
#include "crate/training/optimiser.hpp"

namespace crate {

struct LionOptions {
  double rate = 1e-4;         ///< eta >= 0
  double beta1 = 0.9;         ///< in [0, 1), how much of the moment goes into the step
  double beta2 = 0.99;        ///< in [0, 1), how much of the moment stays
  double weight_decay = 0;    ///< w >= 0
  bool decay_vectors = true;  ///< whether one-dimensional parameters decay too

  void check() const {
    check_option(rate >= 0, "Lion: rate >= 0", rate);
    check_option(beta1 >= 0 && beta1 < 1, "Lion: beta1 in [0, 1)", beta1);
    check_option(beta2 >= 0 && beta2 < 1, "Lion: beta2 in [0, 1)", beta2);
    check_option(weight_decay >= 0, "Lion: weight decay >= 0", weight_decay);
  }
};

namespace detail {

template <Scalar S>
void take_lion_step(const LionOptions& options, const StepFactors& factors, const ParameterList& model,
                    const ConstParameterList& gradient, const ParameterList& moment, Threads& threads) {
  check_same_structure(model, gradient);
  check_same_structure(model, moment);
  const double rate = options.rate * factors.rate;
  const auto eta = static_cast<S>(rate), scale = static_cast<S>(factors.gradient);
  const auto keep1 = static_cast<S>(options.beta1), take1 = static_cast<S>(1 - options.beta1);
  const auto keep2 = static_cast<S>(options.beta2), take2 = static_cast<S>(1 - options.beta2);
  const auto decayed = static_cast<S>(1 - rate * options.weight_decay * factors.decay);
  for_each_trained(model, threads, [&](const TrainedNumbers& numbers) {
    auto p = numbers.of<S>(model), m = numbers.of<S>(moment);
    const auto g = numbers.of<S>(gradient);
    const S keep = numbers.in_vector && !options.decay_vectors ? S(1) : decayed;
    const bool moves = !is_frozen(model[numbers.parameter].name, factors);
    for (Index i = 0; moves && i < numbers.size; ++i) {  // element by element, because Eigen's sign() is not vectorised
      const S direction = keep1 * m[i] + take1 * (scale * g[i]);
      p[i] = keep * p[i] - eta * (static_cast<S>(direction > 0) - static_cast<S>(direction < 0));
    }
    m = keep2 * m + take2 * (scale * g);
  });
}

}  // namespace detail

/// Steps by the sign of an interpolated moment:
///   P <- (1 - eta w) P - eta sign(beta1 M + (1 - beta1) G),   M <- beta2 M + (1 - beta2) G.
/// Source: Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.
template <class Parameters>
struct Lion {
  using Model = Parameters;
  using Scalar = typename Model::Scalar;

  LionOptions options;
  Model moment;  ///< M
  Index steps = 0;

  /// A moment of zero. Throws OptionError on an option out of range.
  explicit Lion(const Model& model, const LionOptions& lion_options = {})
      : options(lion_options), moment(zeros_like(model)) {
    options.check();
  }

  static constexpr auto parts() { return std::tuple{part("moment", &Lion::moment)}; }

  /// Throws ShapeError if the gradient has another structure than the model.
  void step(Model& model, const Model& gradient, const StepFactors& factors, Threads& threads) {
    detail::take_lion_step<Scalar>(options, factors, list_parameters(model), list_parameters(gradient),
                                   list_parameters(moment), threads);
    ++steps;
  }
};

}  // namespace crate
