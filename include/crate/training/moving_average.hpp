// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/training/detail/trained_pieces.hpp"

namespace crate {

/// The exponential moving average of a model over its training: A <- decay A + (1 - decay) P after every step.
template <class Model>
struct MovingAverage {
  using Scalar = typename Model::Scalar;

  Model average;
  double decay;  ///< in [0, 1): an average of decay 1 would never move

  /// Starts at the model. Throws OptionError unless the decay is in range.
  MovingAverage(Model model, double average_decay) : average(std::move(model)), decay(average_decay) {
    check_option(decay >= 0 && decay < 1, "moving average: decay in [0, 1)", decay);
  }

  static constexpr auto parts() { return std::tuple{part("", &MovingAverage::average)}; }

  /// Throws ShapeError if the model has another structure than the average.
  void update(const Model& model, Threads& threads) {
    const auto keep = static_cast<Scalar>(decay), take = static_cast<Scalar>(1 - decay);
    detail::for_each_trained(
        threads, [&](bool, auto a, const auto& p) { a = keep * a + take * p; }, average, model);
  }
};

}  // namespace crate
