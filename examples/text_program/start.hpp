// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cmath>
#include <optional>

#include "crate/core/matrix.hpp"

// How wide the random start of a model of texts is.

namespace text_program {

inline void add_start_option(CLI::App& app, std::optional<double>& start) {
  app.add_option("--start", start,
                 "deviation of the random start [0.02 * sqrt(768 / DIM): the published one at the published width]")
      ->check(CLI::PositiveNumber);
}

/// The deviation of the random start. Products of d numbers of deviation 0.02 have one of 0.02 * sqrt(d): a narrow
/// model starts with the same as one of the published width, 768.
[[nodiscard]] inline double start_deviation(const std::optional<double>& start, crate::Index dim) {
  constexpr double published = 0.02, published_width = 768;
  return start.value_or(published * std::sqrt(published_width / static_cast<double>(dim)));
}

}  // namespace text_program
