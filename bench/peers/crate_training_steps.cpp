// SPDX-License-Identifier: MIT

// Training steps of a published model, one for every line on the input, answered with the milliseconds that it took and
// the loss before it. The recipe is that of pytorch_training_steps.py.

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "crate/training/adamw.hpp"
#include "crate/training/batch_gradient.hpp"
#include "crate/training/classification.hpp"
#include "crate/training/examples.hpp"
#include "crate/training/schedule.hpp"
#include "line_protocol.hpp"

namespace {

using namespace crate;
using Model = CrateClassifier<float>;

/// The sizes of a task.
Model::Options options_of(const std::string& task) {
  if (task == "base") return presets::crate_base();
  check_option(task == "fashion", "task fashion or base", task);
  return {.image = {.height = 28, .width = 28, .channels = 1, .patch_height = 4, .patch_width = 4},
          .classes = 10,
          .depth = 4,
          .block = {.dim = 96, .heads = 4}};
}

Model load(const std::string& task, const std::string& path) {
  const Model::Options options = options_of(task);
  if (path != "-")
    return model_from<Model>(read_weights(path), {.heads = options.block.heads, .channels = options.image.channels});
  Model model(options);
  initialise(model, /*seed*/ 1);
  return model;
}

/// Examples in memory, in the order of their indices.
struct StoredExamples {
  using Examples = LabelledImages<float>;

  Matrix<float> images;  ///< (C H W) x examples
  std::vector<std::int32_t> labels;

  [[nodiscard]] Index size() const { return images.cols(); }
  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    Examples examples{.images = images(Eigen::all, std::vector<Index>(indices.begin(), indices.end())), .labels = {}};
    for (const Index i : indices) examples.labels.push_back(labels.at(static_cast<std::size_t>(i)));
    return examples;
  }
  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t, Index) const { return take(indices); }
};

StoredExamples read_examples(const std::string& images, const std::string& labels, Index values) {
  const std::vector<float> pixels = bench::read_numbers<float>(images);
  return {.images = Eigen::Map<const Matrix<float>>(pixels.data(), values, std::ssize(pixels) / values),
          .labels = bench::read_numbers<std::int32_t>(labels)};
}

void serve(Model model, const StoredExamples& examples, Index batch, int thread_count) {
  const Schedule schedule{.decay = Decay::cosine, .warm_up = 468, .steps = 2340};
  const ClassificationObjective<Model> objective{{.label_smoothing = 0.1}};
  Threads threads(thread_count);
  AdamW<Model> optimiser(model, {.rate = 1e-3, .weight_decay = 0.05});
  BatchGradient gradient(model, objective, BatchCut{}, threads);
  std::vector<Index> indices(static_cast<std::size_t>(batch));
  Index steps = 0;
  bench::answer_lines([&] {
    for (Index i = 0; i < batch; ++i) indices[static_cast<std::size_t>(i)] = (steps * batch + i) % examples.size();
    double loss = 0;
    const double time = bench::milliseconds([&] {
      loss = gradient.compute(model, examples, indices, {.step = steps}).loss.mean();
      optimiser.step(model, gradient.gradient(), {.rate = schedule.factor(steps)}, threads);
    });
    ++steps;
    return concatenate(time, ' ', loss);
  });
}

}  // namespace

int main(int count, char** texts) {
  if (count != 7) {
    std::cerr << "usage: crate_training_steps fashion|base WEIGHTS|- IMAGES LABELS BATCH THREADS\n";
    return 2;
  }
  return crate::bench::status_of("crate_training_steps", [&] {
    Model model = load(texts[1], texts[2]);
    const StoredExamples examples = read_examples(texts[3], texts[4], patch_grid(model).values_per_image());
    serve(std::move(model), examples, std::stol(texts[5]), std::stoi(texts[6]));
  });
}
