// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "crate/training/self_distillation.hpp"
#include "crate/training/trainer.hpp"

namespace train_dino {

using Report = crate::EpochReport<crate::SelfDistillationMeasures>;

/// A share in percent; "-" where nothing was measured.
[[nodiscard]] inline std::string percent_text(double share) {
  if (std::isnan(share)) return "-";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f %%", 100 * share);
  return text.data();
}

inline void print_epoch_heading(bool is_dino) {
  std::printf("\n  epoch   training loss   spread   %s   teacher's spread   k-NN accuracy   seconds\n",
              is_dino ? "entropy" : " cosine");
}

inline void print_epoch(const Report& report, bool is_dino) {
  std::printf("  %5td   %13.4f   %6.3f   %7.3f   %16.3f   %13s   %7.1f\n", report.epoch, report.training.loss.mean(),
              report.training.spread(), is_dino ? report.training.entropy() : report.training.comparison(),
              report.test.spread(), percent_text(report.test.knn_accuracy()).c_str(), report.seconds);
  if (const auto how = crate::why_collapsed(report.test)) std::printf("  COLLAPSED: %s\n", how->c_str());
  std::fflush(stdout);
}

}  // namespace train_dino
