// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <tuple>

#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/training/detail/trained_pieces.hpp"
#include "crate/training/optimiser.hpp"

namespace crate {

struct AdamWOptions {
  double rate = 1e-3;          ///< eta >= 0
  double beta1 = 0.9;          ///< in [0, 1), how much of the first moment stays
  double beta2 = 0.999;        ///< in [0, 1), how much of the second moment stays
  double epsilon = 1e-8;       ///< > 0
  double weight_decay = 0.01;  ///< w >= 0
  bool decay_vectors = true;   ///< whether one-dimensional parameters decay too

  void check() const {
    check_option(rate >= 0, "AdamW: rate >= 0", rate);
    check_option(beta1 >= 0 && beta1 < 1, "AdamW: beta1 in [0, 1)", beta1);
    check_option(beta2 >= 0 && beta2 < 1, "AdamW: beta2 in [0, 1)", beta2);
    check_option(epsilon > 0, "AdamW: epsilon > 0", epsilon);
    check_option(weight_decay >= 0, "AdamW: weight decay >= 0", weight_decay);
  }
};

namespace detail {

template <Scalar S>
void take_adamw_step(const AdamWOptions& options, const StepFactors& factors, Index step, const ParameterList& model,
                     const ConstParameterList& gradient, const ParameterList& first_moment,
                     const ParameterList& second_moment, Threads& threads) {
  for (const auto* moment : {&first_moment, &second_moment}) check_same_structure(model, *moment);
  check_same_structure(model, gradient);
  const auto t = static_cast<double>(step);
  const double rate = options.rate * factors.rate;
  const auto step_size = static_cast<S>(rate / (1 - std::pow(options.beta1, t)));
  const auto root_factor = static_cast<S>(1 / std::sqrt(1 - std::pow(options.beta2, t)));
  const auto epsilon = static_cast<S>(options.epsilon), scale = static_cast<S>(factors.gradient);
  const auto keep1 = static_cast<S>(options.beta1), take1 = static_cast<S>(1 - options.beta1);
  const auto keep2 = static_cast<S>(options.beta2), take2 = static_cast<S>(1 - options.beta2);
  const auto decayed = static_cast<S>(1 - rate * options.weight_decay * factors.decay);
  for_each_trained(model, threads, [&](const TrainedNumbers& numbers) {
    auto p = numbers.of<S>(model), m = numbers.of<S>(first_moment), v = numbers.of<S>(second_moment);
    const auto g = numbers.of<S>(gradient);
    m = keep1 * m + take1 * (scale * g);
    v = keep2 * v + take2 * (scale * g).square();
    if (is_frozen(model[numbers.parameter].name, factors)) return;
    p = (numbers.in_vector && !options.decay_vectors ? S(1) : decayed) * p -
        step_size * (m / (v.sqrt() * root_factor + epsilon));
  });
}

}  // namespace detail

/// Adam with decoupled weight decay, as PyTorch's AdamW; at step t = 1, 2, ...
///   M <- beta1 M + (1 - beta1) G,   V <- beta2 V + (1 - beta2) G^2,
///   P <- (1 - eta w) P - eta / (1 - beta1^t) M / (sqrt(V / (1 - beta2^t)) + epsilon).
/// Source: Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019.
template <class Parameters>
struct AdamW {
  using Model = Parameters;
  using Scalar = typename Model::Scalar;

  AdamWOptions options;
  Model first_moment;   ///< M
  Model second_moment;  ///< V
  Index steps = 0;

  /// Moments of zero. Throws OptionError on an option out of range.
  explicit AdamW(const Model& model, const AdamWOptions& adamw_options = {})
      : options(adamw_options), first_moment(zeros_like(model)), second_moment(first_moment) {
    options.check();
  }

  static constexpr auto parts() {
    return std::tuple{part("first_moment", &AdamW::first_moment), part("second_moment", &AdamW::second_moment)};
  }

  /// Throws ShapeError if the gradient has another structure than the model.
  void step(Model& model, const Model& gradient, const StepFactors& factors, Threads& threads) {
    detail::take_adamw_step<Scalar>(options, factors, steps + 1, list_parameters(model), list_parameters(gradient),
                                    list_parameters(first_moment), list_parameters(second_moment), threads);
    ++steps;
  }
};

}  // namespace crate
