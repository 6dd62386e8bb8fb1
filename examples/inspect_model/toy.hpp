// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "crate/analysis/signal_to_noise.hpp"
#include "crate/analysis/spread.hpp"
#include "crate/core/matrix.hpp"

// A toy in place of a model: tokens near subspaces that are known, so that one can see what a step does to signal and
// to noise. Source: arXiv 2506.03790.

namespace inspect_model {

using crate::Index;

struct ToyOptions {
  bool is_shown = false;
  double noise = 0.1;  ///< delta: standard deviation in the other subspaces; that of the signal is 1
  Index steps = 8;

  static constexpr Index draws = 8, dim = 160, clusters = 3, head_dim = 48, tokens_per_cluster = 20;
  static constexpr crate::ThresholdedAttentionOptions attention = {};

  /// By which factor a step of attention multiplies SNR, by the theorem: 1 + eta tau.
  static constexpr double growth() { return 1 + attention.step * attention.threshold; }

  /// About the largest noise of the theorem: (log N / p)^{1/2}.
  static double most_noise() {
    return std::sqrt(std::log(static_cast<double>(clusters * tokens_per_cluster)) / static_cast<double>(head_dim));
  }
};

/// What repeated steps of one kind make of the tokens, at 0, 1, 2, ... steps.
struct ToyCourse {
  std::string name;
  std::vector<crate::Spread> signal_to_noise = {};  ///< SNR_k, over the clusters of all draws
  std::vector<crate::Spread> subspace_rate = {};    ///< R^c, over draws
};

struct ToyMeasurement {
  ToyCourse thresholded, softmax, exact;
  std::vector<double> law = {};                     ///< (1 + eta tau)^l times the SNR at the start
  std::vector<crate::Matrix<double>> cosines = {};  ///< |cosines| between the first draw's tokens at `shown`
  std::vector<Index> shown = {};                    ///< numbers of thresholded steps
  std::vector<Index> clusters = {};                 ///< of these tokens
};

/// `epsilon` is that of R^c and of the exact steps.
[[nodiscard]] ToyMeasurement measure_toy(const ToyOptions& options, double epsilon);

struct Options;

/// Measures the toy, prints a summary, and writes the page and the table that the options name.
void inspect_toy(const Options& options);

}  // namespace inspect_model
