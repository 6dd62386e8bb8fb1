// SPDX-License-Identifier: MIT

// Steps of training: forward, backward and AdamW on a batch of images, cut as a training cuts it. The gradient of a
// batch is first compared with the mean of those of its images one by one. The share of the peak is given twice: of the
// multiply-adds that the published arithmetic takes (%peak), and of those that are done (%done).

#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "crate/core/part.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/presets.hpp"
#include "crate/training/adamw.hpp"
#include "crate/training/batch_gradient.hpp"
#include "crate/training/classification.hpp"
#include "measurement.hpp"

namespace crate::bench {
namespace {

/// Random images with labels.
struct RandomImages {
  using Examples = LabelledImages<float>;

  Matrix<float> images;
  Index classes;

  [[nodiscard]] Index size() const { return images.cols(); }
  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t, Index) const { return take(indices); }
  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    Examples examples{Matrix<float>(images.rows(), static_cast<Index>(indices.size())), {}};
    for (const Index i : indices) {
      examples.images.col(static_cast<Index>(examples.labels.size())) = images.col(i);
      examples.labels.push_back(i % classes);
    }
    return examples;
  }
};

std::vector<Index> all_of(const RandomImages& source) {
  std::vector<Index> indices(static_cast<std::size_t>(source.size()));
  std::iota(indices.begin(), indices.end(), Index{0});
  return indices;
}

/// All trainable parameters, one under the other.
template <class Model>
Vector<float> flattened(const Model& model) {
  Vector<float> all(parameter_count(model));
  Index filled = 0;
  for_each_parameter(
      [&](std::string_view, ParameterKind, const auto& parameter) {
        all.segment(filled, parameter.size()) = parameter.reshaped();
        filled += parameter.size();
      },
      model);
  return all;
}

/// The multiply-adds of a step by the published arithmetic: backward takes two products for each one.
template <class Model>
[[nodiscard]] double published_multiply_adds(const Model& model, Index images) {
  return 3 * model.multiply_adds(TokenLayout::equal(images, 1));
}

/// Those that are done: an ISTA step of N tokens of width d by its matrix takes 3 N d^2 + 3/2 d^3 of the published
/// 6 N d^2; attention on L tokens and its adjoint take 2 + 7/2 of the published 2 + 4 products of L x L by d.
[[nodiscard]] double done_multiply_adds(const CrateClassifier<float>& model, Index images, const BatchCut& cut) {
  const auto d = static_cast<double>(model.dim()), length = static_cast<double>(1 + patch_grid(model).patches());
  double saved = 0.5 * length * length * d * static_cast<double>(images);
  for (Index first = 0; first < images; first += cut.micro_batch) {
    const double tokens = length * static_cast<double>(std::min(cut.micro_batch, images - first));
    saved += std::max(0.0, 3 * tokens * d * d - 1.5 * d * d * d);
  }
  return published_multiply_adds(model, images) - static_cast<double>(model.encoder.layers.size()) * saved;
}

/// The adjoint of attention computes the probabilities again: 5 products where the published arithmetic has 4.
[[nodiscard]] double done_multiply_adds(const TransformerClassifier<float>& model, Index images, const BatchCut&) {
  const auto d = static_cast<double>(model.dim()), length = static_cast<double>(1 + patch_grid(model).patches());
  return published_multiply_adds(model, images) +
         static_cast<double>(model.encoder.layers.size()) * length * length * d * static_cast<double>(images);
}

/// Arguments: images in a batch, threads.
template <class Model>
void training_step(benchmark::State& state, const typename Model::Options& options) {
  using Objective = ClassificationObjective<Model>;
  Model model(options);
  initialise(model, 1);
  const RandomImages source{random_tokens<float>(patch_grid(model).values_per_image(), state.range(0)),
                            model.output_dim()};
  const std::vector<Index> batch = all_of(source);
  Threads threads(static_cast<int>(state.range(1)));
  const BatchCut cut;
  BatchGradient<Model, Objective> gradient(model, Objective{}, cut, threads);
  BatchGradient<Model, Objective> one_by_one(model, Objective{}, {.micro_batch = 1, .lanes = 1}, threads);
  gradient.compute(model, source, batch, {});
  one_by_one.compute(model, source, batch, {});
  if (!agrees<float>(state, flattened(gradient.gradient()), flattened(one_by_one.gradient()), 1e4)) return;
  AdamW<Model> optimiser(model);
  const Work work{.tokens = source.size() * (1 + patch_grid(model).patches()),
                  .multiply_adds = published_multiply_adds(model, source.size()),
                  .threads = threads.count()};
  time_work<float>(state, work, [&] {
    const double loss = gradient.compute(model, source, batch, {}).loss.mean();
    optimiser.step(model, gradient.gradient(), {}, threads);
    return loss;
  });
  state.counters["%done"] =
      state.counters["%peak"].value * done_multiply_adds(model, source.size(), cut) / work.multiply_adds;
  state.counters["ms/image"] =
      benchmark::Counter(static_cast<double>(source.size()) * 1e-3,
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void crate_step(benchmark::State& state, const CrateClassifier<float>::Options& options) {
  training_step<CrateClassifier<float>>(state, options);
}

void vit_step(benchmark::State& state, const TransformerClassifier<float>::Options& options) {
  training_step<TransformerClassifier<float>>(state, options);
}

/// A small classifier of 28 x 28 grey images.
CrateClassifier<float>::Options small_grey() {
  return {.image = {.height = 28, .width = 28, .channels = 1, .patch_height = 4, .patch_width = 4},
          .classes = 10,
          .depth = 4,
          .block = {.dim = 96, .heads = 4}};
}

void threads_and(benchmark::internal::Benchmark* benchmark, Index batch) {
  benchmark->ArgNames({"batch", "threads"})
      ->ArgsProduct({{batch}, {1, 2}})
      ->MinTime(0.1)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}
void batch_of_8(benchmark::internal::Benchmark* benchmark) { threads_and(benchmark, 8); }
void batch_of_128(benchmark::internal::Benchmark* benchmark) { threads_and(benchmark, 128); }

BENCHMARK_CAPTURE(crate_step, small_grey, small_grey())->Apply(batch_of_128);
BENCHMARK_CAPTURE(crate_step, tiny, presets::crate_tiny())->Apply(batch_of_8);
BENCHMARK_CAPTURE(crate_step, base, presets::crate_base())->Apply(batch_of_8);
BENCHMARK_CAPTURE(vit_step, tiny, presets::vit_tiny())->Apply(batch_of_8);
BENCHMARK_CAPTURE(vit_step, base, presets::vit_base())->Apply(batch_of_8);

}  // namespace
}  // namespace crate::bench
