// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <tuple>

#include "crate/core/part.hpp"
#include "crate/training/moving_average.hpp"
#include "crate/training/objective.hpp"
#include "crate/training/optimiser.hpp"

namespace crate {

/// Everything that training changes. With the recipe and the data it determines all that follows, so whoever saves and
/// loads it goes on as if never stopped.
template <class M, Optimiser Rule>
struct TrainingState {
  using Model = M;

  Model model;
  Rule optimiser;
  std::optional<MovingAverage<Model>> average = {};
  Index step = 0;            ///< steps taken; epoch, position in the data and all random numbers follow from it
  Measures epoch_sums = {};  ///< over the batches of this epoch so far

  static constexpr auto parts() {
    return std::tuple{part("model", &TrainingState::model), part("optimiser", &TrainingState::optimiser),
                      part("average", &TrainingState::average)};
  }

  /// What is to be judged and kept: the moving average if there is one.
  [[nodiscard]] const Model& result() const { return average ? average->average : model; }
};

}  // namespace crate
