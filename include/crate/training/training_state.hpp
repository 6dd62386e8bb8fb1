// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <tuple>

#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"
#include "crate/training/moving_average.hpp"
#include "crate/training/optimiser.hpp"

namespace crate {

/// Everything that training changes. With the recipe and the data it determines all that follows, so whoever saves and
/// loads it goes on as if never stopped.
template <class M, Optimiser Rule, class O>
struct TrainingState {
  using Model = M;
  using Objective = O;

  Model model;
  Rule optimiser;
  Objective objective = {};
  std::optional<MovingAverage<Model>> average = {};
  Index step = 0;  ///< steps taken; epoch, position in the data and all random numbers follow from it
  typename Objective::Measures epoch_sums = {};  ///< over the batches of this epoch so far

  static constexpr auto parts() {
    constexpr std::tuple parts{part("model", &TrainingState::model), part("optimiser", &TrainingState::optimiser),
                               part("average", &TrainingState::average)};
    if constexpr (HasParts<Objective>)
      return std::tuple_cat(parts, std::tuple{part("objective", &TrainingState::objective)});
    else
      return parts;
  }

  /// What is to be judged and kept: the moving average if there is one.
  [[nodiscard]] const Model& result() const { return average ? average->average : model; }
};

}  // namespace crate
