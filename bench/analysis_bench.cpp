// SPDX-License-Identifier: MIT

// What it costs to measure every layer of a model while it runs: rates, sparsity and objective, beside a plain pass
// over the same images.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include "crate/analysis/layer_metrics.hpp"
#include "crate/crate.hpp"
#include "measurement.hpp"

namespace crate::bench {
namespace {

template <class Body>
[[nodiscard]] double seconds_of(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

[[nodiscard]] double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Arguments: images in a batch, threads. "times plain" is the time beside that of a pass without a meter, medians of
/// passes that take turns.
void layer_meter(benchmark::State& state, const CrateClassifier<float>::Options& options) {
  CrateClassifier<float> model(options);
  initialise(model, 1);
  const Index batch = state.range(0);
  Threads threads(static_cast<int>(state.range(1)));
  Workspace workspace;
  const Matrix<float> images = random_tokens<float>(patch_grid(model).values_per_image(), batch);
  LayerMeter<float> meter(model, {}, &threads);
  const Run<float> plain{.threads = &threads, .workspace = &workspace};
  Run<float> measured = plain;
  measured.observer = meter.observer();
  const Matrix<float> expected = model.forward(images, plain);
  if (!agrees<float>(state, model.forward(images, measured), expected, 1)) return;
  std::vector<double> plain_times, measured_times;
  for (auto _ : state) {
    plain_times.push_back(seconds_of([&] { benchmark::DoNotOptimize(model.forward(images, plain)); }));
    measured_times.push_back(seconds_of([&] { benchmark::DoNotOptimize(model.forward(images, measured)); }));
    state.SetIterationTime(measured_times.back());
  }
  state.counters["times plain"] = median(measured_times) / median(plain_times);
}

void batches_and_threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"batch", "threads"})
      ->ArgsProduct({{8}, {1, 2}})
      ->MinTime(1)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(layer_meter, tiny, presets::crate_tiny())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(layer_meter, small, presets::crate_small())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(layer_meter, base, presets::crate_base())->Apply(batches_and_threads);

}  // namespace
}  // namespace crate::bench
