// SPDX-License-Identifier: MIT

// Training steps of a published model, one for every line on the input, answered with the milliseconds that it took and
// the loss before it. Recipes are those of pytorch_training_steps.py.

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <iterator>
#include <span>
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
#include "crate/training/gradient.hpp"
#include "crate/training/schedule.hpp"
#include "crate/training/token_prediction.hpp"
#include "line_protocol.hpp"

namespace {

using namespace crate;
using ImageModel = CrateClassifier<float>;

struct TrainingRecipe {
  Schedule schedule;
  AdamWOptions optimiser;
  BatchCut cut = {};
  double largest_norm = 0;  ///< of the gradient; 0 for any
};

TrainingRecipe image_recipe() {
  return {.schedule = {.decay = Decay::cosine, .warm_up = 468, .steps = 2340},
          .optimiser = {.rate = 1e-3, .weight_decay = 0.05}};
}

/// That of train_language_model.
TrainingRecipe text_recipe() {
  return {.schedule = {.decay = Decay::cosine, .warm_up = 100, .steps = 2000, .final_factor = 0.1},
          .optimiser = {.rate = 1e-3, .beta2 = 0.99, .weight_decay = 0.1, .decay_vectors = false},
          .cut = {.micro_batch = 3},
          .largest_norm = 1};
}

/// The sizes of a task with images.
ImageModel::Options image_options(const std::string& task) {
  if (task == "base") return presets::crate_base();
  check_option(task == "fashion", "task fashion, base, crate-gpt2 or gpt2", task);
  return {.image = {.height = 28, .width = 28, .channels = 1, .patch_height = 4, .patch_width = 4},
          .classes = 10,
          .depth = 4,
          .block = {.dim = 96, .heads = 4}};
}

/// The model of these options that the file holds; at a random start for "-".
template <class Model>
Model load(const std::string& path, const typename Model::Options& options, const LoadOptions& untold) {
  if (path != "-") return model_from<Model>(read_weights(path), untold);
  Model model(options);
  initialise(model, /*seed*/ 1);
  return model;
}

/// Images in memory, in the order of their indices.
struct StoredImages {
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

/// Pieces of a text in memory, likewise.
struct StoredTexts {
  using Examples = LabelledTokens;

  Index context;
  std::vector<std::int32_t> ids, next;  ///< tokens and those that follow them, piece after piece

  [[nodiscard]] Index size() const { return std::ssize(ids) / context; }
  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    Examples examples{.ids = {}, .layout = TokenLayout::equal(std::ssize(indices), context), .labels = {}};
    for (const Index i : indices) {
      std::copy_n(ids.begin() + i * context, context, std::back_inserter(examples.ids));
      std::copy_n(next.begin() + i * context, context, std::back_inserter(examples.labels));
    }
    return examples;
  }
  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t, Index) const { return take(indices); }
};

template <class Model, class Objective, class Source>
void serve(Model model, const Objective& objective, const Source& examples, const TrainingRecipe& recipe, Index batch,
           int thread_count) {
  Threads threads(thread_count);
  AdamW<Model> optimiser(model, recipe.optimiser);
  BatchGradient gradient(model, objective, recipe.cut, threads);
  std::vector<Index> indices(static_cast<std::size_t>(batch));
  Index steps = 0;
  bench::answer_lines([&] {
    for (Index i = 0; i < batch; ++i) indices[static_cast<std::size_t>(i)] = (steps * batch + i) % examples.size();
    double loss = 0;
    const double time = bench::milliseconds([&] {
      loss = gradient.compute(model, examples, indices, {.step = steps}).loss.mean();
      StepFactors factors{.rate = recipe.schedule.factor(steps)};
      if (recipe.largest_norm > 0)
        factors.gradient = clipping_factor(gradient_norm(gradient.gradient(), threads), recipe.largest_norm);
      optimiser.step(model, gradient.gradient(), factors, threads);
    });
    ++steps;
    return concatenate(time, ' ', loss);
  });
}

template <class Model>
void serve_on_text(const std::vector<std::string>& words, Index batch, int threads) {
  const auto options = presets::small_text<Model>();
  serve(load<Model>(words[1], options, {.heads = options.block.heads}), TokenPredictionObjective<Model>{},
        StoredTexts{.context = options.context,
                    .ids = bench::read_numbers<std::int32_t>(words[2]),
                    .next = bench::read_numbers<std::int32_t>(words[3])},
        text_recipe(), batch, threads);
}

void serve_on_images(const std::vector<std::string>& words, Index batch, int threads) {
  const ImageModel::Options options = image_options(words[0]);
  const std::vector<float> pixels = bench::read_numbers<float>(words[2]);
  const Index values = options.image.grid().values_per_image();
  serve(load<ImageModel>(words[1], options, {.heads = options.block.heads, .channels = options.image.channels}),
        ClassificationObjective<ImageModel>{{.label_smoothing = 0.1}},
        StoredImages{.images = Eigen::Map<const Matrix<float>>(pixels.data(), values, std::ssize(pixels) / values),
                     .labels = bench::read_numbers<std::int32_t>(words[3])},
        image_recipe(), batch, threads);
}

}  // namespace

int main(int count, char** texts) {
  if (count != 7) {
    std::cerr << "usage: crate_training_steps fashion|base|crate-gpt2|gpt2 WEIGHTS|- EXAMPLES LABELS BATCH THREADS\n";
    return 2;
  }
  return crate::bench::status_of("crate_training_steps", [&] {
    const std::vector<std::string> words(texts + 1, texts + count);
    const Index batch = std::stol(words[4]);
    const int threads = std::stoi(words[5]);
    if (words[0] == CrateLanguageModelFamily::name)
      return serve_on_text<CrateLanguageModel<float>>(words, batch, threads);
    if (words[0] == TransformerLanguageModelFamily::name)
      return serve_on_text<TransformerLanguageModel<float>>(words, batch, threads);
    serve_on_images(words, batch, threads);
  });
}
