// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/part.hpp"
#include "crate/training/detail/trained_pieces.hpp"

namespace crate {

namespace detail {

template <Scalar S>
void update_average(double decay, const ParameterList& average, const ConstParameterList& model, Threads& threads) {
  check_same_structure(average, model);
  const auto keep = static_cast<S>(decay), take = static_cast<S>(1 - decay);
  for_each_trained(average, threads, [&](const TrainedNumbers& numbers) {
    auto a = numbers.of<S>(average);
    a = keep * a + take * numbers.of<S>(model);
  });
}

}  // namespace detail

/// The exponential moving average of a model over its training: A <- decay A + (1 - decay) P after every step.
template <class Model>
struct MovingAverage {
  using Scalar = typename Model::Scalar;

  Model average;
  double decay;  ///< in [0, 1): an average of decay 1 would never move

  /// Starts at the model. Throws OptionError if the decay is out of range.
  MovingAverage(Model model, double average_decay) : average(std::move(model)), decay(average_decay) {
    check_option(decay >= 0 && decay < 1, "moving average: decay in [0, 1)", decay);
  }

  static constexpr auto parts() { return std::tuple{part("", &MovingAverage::average)}; }

  /// Throws ShapeError if the model has another structure than the average.
  void update(const Model& model, Threads& threads) { update(model, decay, threads); }

  /// Updates with the given decay, in [0, 1], for this step.
  void update(const Model& model, double decay_of_step, Threads& threads) {
    detail::update_average<Scalar>(decay_of_step, list_parameters(average), list_parameters(model), threads);
  }
};

}  // namespace crate
