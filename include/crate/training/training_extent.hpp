// SPDX-License-Identifier: MIT
#pragma once

#include <limits>
#include <optional>

#include "crate/core/matrix.hpp"

namespace crate {

/// How far a training goes, which bounds what its checkpoint may say. Of an empty extent only what holds of every
/// training is known.
struct TrainingExtent {
  std::optional<Index> steps = {};  ///< of all epochs
  Index steps_per_epoch = 0;
  Index batch = 0;  ///< examples of a step

  /// At most so many examples were seen in the epoch that the step before `step` lies in.
  [[nodiscard]] Index examples_of_epoch_at(Index step) const {
    if (steps_per_epoch == 0) return std::numeric_limits<Index>::max();
    return step == 0 ? 0 : batch * ((step - 1) % steps_per_epoch + 1);
  }
};

}  // namespace crate
