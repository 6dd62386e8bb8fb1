// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdio>

#include "crate/training/self_distillation.hpp"
#include "crate/training/trainer.hpp"

namespace train_dino {

using Report = crate::EpochReport<crate::SelfDistillationMeasures>;

inline void print_epoch_heading(bool is_dino) {
  std::printf("\n  epoch   training loss   spread   %s   teacher's spread   k-NN accuracy   seconds\n",
              is_dino ? "entropy" : " cosine");
}

inline void print_epoch(const Report& report, bool is_dino) {
  std::printf("  %5td   %13.4f   %6.3f   %7.3f   %16.3f   %11.2f %%   %7.1f\n", report.epoch,
              report.training.loss.mean(), report.training.spread(),
              is_dino ? report.training.entropy() : report.training.comparison(), report.test.spread(),
              100 * report.test.neighbour_accuracy(), report.seconds);
  if (const auto how = crate::why_collapsed(report.test)) std::printf("  COLLAPSED: %s\n", how->c_str());
  std::fflush(stdout);
}

}  // namespace train_dino
