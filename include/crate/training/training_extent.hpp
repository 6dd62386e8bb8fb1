// SPDX-License-Identifier: MIT
#pragma once

#include <limits>
#include <optional>

#include "crate/core/matrix.hpp"

namespace crate {

/// The length of a training, which bounds the counters that its checkpoint may have. An empty extent allows those of
/// any training.
struct TrainingExtent {
  std::optional<Index> steps = {};  ///< over all epochs
  Index steps_per_epoch = 0;
  Index batch = 0;  ///< examples per step

  /// Upper bound on the examples seen in the epoch that contains the step before `step`.
  [[nodiscard]] Index examples_of_epoch_at(Index step) const {
    if (steps_per_epoch == 0) return std::numeric_limits<Index>::max();
    return step == 0 ? 0 : batch * ((step - 1) % steps_per_epoch + 1);
  }
};

}  // namespace crate
