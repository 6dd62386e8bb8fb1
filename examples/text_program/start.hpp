// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <optional>

#include "crate/core/matrix.hpp"
#include "training_program/check_options.hpp"

// Standard deviation of the initial weights of a model of texts.

namespace text_program {

inline void add_start_option(CLI::App& app, std::optional<double>& start) {
  app.add_option("--start", start,
                 "standard deviation of the initial weights [0.02, as published; 0.02 * sqrt(768 / DIM) if DIM < 768]");
}

/// Throws OptionError unless the weights that are drawn are numbers of type float, and not all zero.
inline void check_start(const std::optional<double>& start) {
  constexpr double least = 1e-30, most = 1000;
  if (start)
    training_program::check_number(*start >= least && *start <= most,
                                   "--start: expected a standard deviation from 1e-30 to 1000", *start);
}

/// The deviation s of the random start. A linear map from d inputs of deviation 1 has outputs of deviation s sqrt(d):
/// below the published width, 768, the default keeps s sqrt(d) at what it is there; above, s is the published one.
[[nodiscard]] inline double start_deviation(const std::optional<double>& start, crate::Index dim) {
  constexpr double published = 0.02, published_width = 768;
  return start.value_or(published * std::sqrt(std::max(1.0, published_width / static_cast<double>(dim))));
}

}  // namespace text_program
