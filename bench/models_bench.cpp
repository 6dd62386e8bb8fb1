// SPDX-License-Identifier: MIT

// Whole published models: images in, logits or pixels out. A batch is first compared with its images one by one.

#include <benchmark/benchmark.h>

#include "crate/crate.hpp"
#include "measurement.hpp"

namespace crate::bench {
namespace {

[[nodiscard]] Matrix<float> output_of(const auto& model, const Matrix<float>& images, const Run<float>& run) {
  return model.forward(images, run);
}
[[nodiscard]] Matrix<float> output_of(const CrateMaskedAutoencoder<float>& model, const Matrix<float>& images,
                                      const Run<float>& run) {
  return autoencode(model, images, run).prediction;
}

/// Arguments: images in a batch, threads.
template <class Model>
void whole_model(benchmark::State& state, const typename Model::Options& options) {
  Model model(options);
  initialise(model, 1);
  const Index batch = state.range(0);
  Threads threads(static_cast<int>(state.range(1)));
  Workspace workspace;
  const Run<float> run{.threads = &threads, .workspace = &workspace};
  const Matrix<float> images = random_tokens<float>(patch_grid(model).values_per_image(), batch);
  const Matrix<float> together = output_of(model, images, run), last = output_of(model, images.rightCols(1), run);
  if (!agrees<float>(state, together.rightCols(last.cols()), last)) return;
  const Work work{.tokens = batch * (1 + patch_grid(model).patches()),
                  .multiply_adds = model.multiply_adds(TokenLayout::equal(batch, 1)),
                  .threads = threads.count()};
  time_work<float>(state, work, [&] { return output_of(model, images, run).sum(); });
  state.counters["per image"] = benchmark::Counter(
      static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void batches_and_threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"batch", "threads"})
      ->ArgsProduct({{1, 8}, {1, 2}})
      ->MinTime(0.1)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

void crate(benchmark::State& state, const CrateClassifier<float>::Options& options) {
  whole_model<CrateClassifier<float>>(state, options);
}
void crate_alpha(benchmark::State& state, const CrateAlphaClassifier<float>::Options& options) {
  whole_model<CrateAlphaClassifier<float>>(state, options);
}
void vit(benchmark::State& state, const TransformerClassifier<float>::Options& options) {
  whole_model<TransformerClassifier<float>>(state, options);
}
void crate_mae(benchmark::State& state, const MaskedAutoencoderOptions& options) {
  whole_model<CrateMaskedAutoencoder<float>>(state, options);
}

BENCHMARK_CAPTURE(crate, tiny, presets::crate_tiny())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate, small, presets::crate_small())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate, base, presets::crate_base())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate, large, presets::crate_large())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate, tiny_8, presets::crate_tiny_8())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate, small_8, presets::crate_small_8())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate, base_8, presets::crate_base_8())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_alpha, base_32, presets::crate_alpha_base_32())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_alpha, base_16, presets::crate_alpha_base_16())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_alpha, base_8, presets::crate_alpha_base_8())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_alpha, large_32, presets::crate_alpha_large_32())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_alpha, large_14, presets::crate_alpha_large_14())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_alpha, large_8, presets::crate_alpha_large_8())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(vit, tiny, presets::vit_tiny())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(vit, small, presets::vit_small())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(vit, base, presets::vit_base())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_mae, tiny, presets::crate_mae_tiny())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_mae, small, presets::crate_mae_small())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_mae, base, presets::crate_mae_base())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(crate_mae, large, presets::crate_mae_large())->Apply(batches_and_threads);

}  // namespace
}  // namespace crate::bench
