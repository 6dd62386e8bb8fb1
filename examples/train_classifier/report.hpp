// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

#include "crate/analysis/layer_metrics.hpp"
#include "crate/core/detail/count_of.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/training/classification.hpp"
#include "crate/training/trainer.hpp"

namespace train_classifier {

using crate::Index;

/// Of more classes than five, the share whose class is among the five likeliest is told, too.
[[nodiscard]] inline bool reports_top_5(Index classes) { return classes > 5; }

inline void print_epoch(const crate::EpochReport<crate::ClassificationMeasures>& report, Index classes) {
  std::printf("  %5td   %13.4f   %15.2f %%   %9.4f   %11.2f %%", report.epoch, report.training.loss.mean(),
              100 * report.training.accuracy(), report.test.loss.mean(), 100 * report.test.accuracy());
  if (reports_top_5(classes)) std::printf("   %8.2f %%", 100 * report.test.top_5_accuracy());
  std::printf("   %7.1f\n", report.seconds);
  std::fflush(stdout);
}

inline void print_epoch_heading(Index classes) {
  std::printf("\n  epoch   training loss   training accuracy   test loss   test accuracy%s   seconds\n",
              reports_top_5(classes) ? "   test top 5" : "");
}

/// Of every layer, on the first 64 test images: the published R^c of the tokens that enter it, and how much of the code
/// that leaves it is not zero. Nothing of models without such layers.
template <class Model>
void print_layers(const Model& model, const crate::ImageSource<typename Model::Scalar>& test, crate::Threads& threads) {
  std::vector<Index> first(static_cast<std::size_t>(std::min<Index>(64, test.size())));
  std::iota(first.begin(), first.end(), Index{0});
  const auto images = test.take(first).images;
  crate::LayerMeter<typename Model::Scalar> meter(model, {}, &threads);
  (void)model.forward(images, {.threads = &threads, .observer = meter.observer()});
  if (meter.layers().empty() || !meter.layers().front().name.ends_with(".compress")) return;
  std::printf("\n  on %s\n  layer    published R^c before   non-zero after\n",
              crate::detail::count_of(images.cols(), "test image").c_str());
  Index layer = 0;
  for (const crate::LayerMetrics& metrics : meter.layers())
    std::printf("  %5td   %12.2f +- %6.2f   %12.2f %%\n", ++layer, metrics.before.published_rate.mean(),
                metrics.before.published_rate.deviation(), 100 * metrics.after.non_zero.mean());
}

}  // namespace train_classifier
