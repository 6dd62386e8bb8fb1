// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <tuple>

#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"
#include "crate/training/moving_average.hpp"
#include "crate/training/optimiser.hpp"

namespace crate {

/// The complete state of a training. Saving and loading it continues the training with the same bits, given the same
/// recipe and data.
template <class M, Optimiser Rule, class O>
struct TrainingState {
  using Model = M;
  using Objective = O;

  Model model;
  Rule optimiser;
  Objective objective = {};
  std::optional<MovingAverage<Model>> average = {};
  Index step = 0;  ///< steps taken; they determine the epoch, the position in the data and all random numbers
  typename Objective::Measures epoch_sums = {};  ///< over the batches of this epoch so far

  static constexpr auto parts() {
    constexpr std::tuple parts{part("model", &TrainingState::model), part("optimiser", &TrainingState::optimiser),
                               part("average", &TrainingState::average)};
    if constexpr (HasParts<Objective>)
      return std::tuple_cat(parts, std::tuple{part("objective", &TrainingState::objective)});
    else
      return parts;
  }

  /// The model to evaluate and save: the moving average if there is one.
  [[nodiscard]] const Model& result() const { return average ? average->average : model; }
};

}  // namespace crate
