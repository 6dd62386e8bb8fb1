// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// How the learning rate changes after the warm-up.
enum class Decay {
  constant,  ///< no change
  linear,    ///< linear decrease
  cosine     ///< decrease along half a cosine
};

/// Learning-rate schedule with warm-up. The rate at step t = 0, 1, ... is multiplied by
///   min(1, (t + 1) / warm_up) while t < warm_up, then f + (1 - f) c(x), x = (t - warm_up) / (steps - warm_up),
/// with f the final factor and c(x) = 1, 1 - x or (1 + cos(pi x)) / 2; by f from t = steps on.
struct Schedule {
  Decay decay = Decay::constant;
  Index warm_up = 0;        ///< steps, >= 0
  Index steps = 0;          ///< total number of steps, at which the decay ends; >= warm_up unless constant or 0
  double final_factor = 0;  ///< f in [0, 1]; ignored if constant

  void check() const {
    check_option(warm_up >= 0, "schedule: warm-up >= 0 steps", warm_up);
    check_option(decay == Decay::constant || steps == 0 || steps >= warm_up,
                 concatenate("schedule: steps >= warm-up = ", warm_up), steps);
    check_option(final_factor >= 0 && final_factor <= 1, "schedule: final factor in [0, 1]", final_factor);
  }

  [[nodiscard]] double factor(Index step) const {
    if (step < warm_up) return static_cast<double>(step + 1) / static_cast<double>(warm_up);
    if (decay == Decay::constant) return 1;
    if (step >= steps) return final_factor;
    const double x = static_cast<double>(step - warm_up) / static_cast<double>(steps - warm_up);
    const double c = decay == Decay::linear ? 1 - x : (1 + std::cos(std::numbers::pi * x)) / 2;
    return final_factor + (1 - final_factor) * c;
  }
};

/// A number that changes from `begin` to `end` along half a cosine over a training: at step t = 0, 1, ... of T it is
/// end + (begin - end) (1 + cos(pi t / T)) / 2; `end` from t = T on.
struct CosineRamp {
  double begin = 1, end = 1;

  [[nodiscard]] double at(Index step, Index steps) const {
    if (step >= steps) return end;
    const double x = static_cast<double>(step) / static_cast<double>(steps);
    return end + (begin - end) * (1 + std::cos(std::numbers::pi * x)) / 2;
  }
};

}  // namespace crate
