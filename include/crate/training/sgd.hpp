// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>

#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/training/detail/trained_pieces.hpp"
#include "crate/training/optimiser.hpp"

namespace crate {

struct SgdOptions {
  double rate = 0.1;          ///< eta >= 0
  double momentum = 0;        ///< mu in [0, 1)
  bool nesterov = false;      ///< looks ahead by one step of momentum
  double weight_decay = 0;    ///< w >= 0, added to the gradient
  bool decay_vectors = true;  ///< whether one-dimensional parameters decay too

  void check() const {
    check_option(rate >= 0, "SGD: rate >= 0", rate);
    check_option(momentum >= 0 && momentum < 1, "SGD: momentum in [0, 1)", momentum);
    check_option(weight_decay >= 0, "SGD: weight decay >= 0", weight_decay);
    check_option(!nesterov || momentum > 0, "SGD: momentum > 0 for Nesterov's rule", momentum);
  }
};

namespace detail {

template <Scalar S>
void take_sgd_step(const SgdOptions& options, const StepFactors& factors, const ParameterList& model,
                   const ConstParameterList& gradient, const ParameterList& velocity, Threads& threads) {
  check_same_structure(model, gradient);
  check_same_structure(model, velocity);
  const auto rate = static_cast<S>(options.rate * factors.rate);
  const auto scale = static_cast<S>(factors.gradient), mu = static_cast<S>(options.momentum);
  for_each_trained(model, threads, [&](const TrainedNumbers& numbers) {
    auto p = numbers.of<S>(model), v = numbers.of<S>(velocity);
    const auto g = numbers.of<S>(gradient);
    const auto decay =
        static_cast<S>(numbers.in_vector && !options.decay_vectors ? 0 : options.weight_decay * factors.decay);
    v = mu * v + (scale * g + decay * p);
    if (is_frozen(model[numbers.parameter].name, factors)) return;
    if (options.nesterov)
      p -= rate * (scale * g + decay * p + mu * v);
    else
      p -= rate * v;
  });
}

}  // namespace detail

/// Stochastic gradient descent with momentum, as PyTorch's SGD:
///   G' = G + w P,   V <- mu V + G',   P <- P - eta V,   or P - eta (G' + mu V) by Nesterov's rule.
template <class M>
struct Sgd {
  using Model = M;
  using Scalar = typename M::Scalar;

  SgdOptions options;
  Model velocity;  ///< V
  Index steps = 0;

  /// A velocity of zero. Throws OptionError on an option out of range.
  explicit Sgd(const Model& model, const SgdOptions& sgd_options = {})
      : options(sgd_options), velocity(zeros_like(model)) {
    options.check();
  }

  static constexpr auto parts() { return std::tuple{part("velocity", &Sgd::velocity)}; }

  /// Throws ShapeError if the gradient has another structure than the model.
  void step(Model& model, const Model& gradient, const StepFactors& factors, Threads& threads) {
    detail::take_sgd_step<Scalar>(options, factors, list_parameters(model), list_parameters(gradient),
                                  list_parameters(velocity), threads);
    ++steps;
  }
};

}  // namespace crate
