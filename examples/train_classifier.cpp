// SPDX-License-Identifier: MIT

// Trains an image classifier, from scratch or from published weights with a new head: on MNIST and its likes, CIFAR-10 or
// folders of pictures. Without options, the recipe is the one that reaches 87 % on Fashion-MNIST in five epochs.

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <variant>

#include "crate/crate.hpp"
#include "crate/io/checkpoint.hpp"
#include "crate/training/trainer.hpp"
#include "load_options.hpp"
#include "train_classifier/data.hpp"
#include "train_classifier/options.hpp"
#include "train_classifier/report.hpp"

namespace {

using namespace crate;
using train_classifier::Options;

/// Everything that a training works on but the model.
struct Bench {
  const Options& options;
  const TrainingAndTest& data;
  const ImageNormalisation& normalisation;
  Threads& threads;
};

template <class Model>
Model fresh_model(const Bench& bench) {
  const Options& o = bench.options;
  const auto [patch_height, patch_width] = examples::sides_from("--patch", o.patch);
  typename Model::Options sizes{.image = {.height = bench.data.training.height,
                                          .width = bench.data.training.width,
                                          .channels = bench.data.training.channels,
                                          .patch_height = patch_height,
                                          .patch_width = patch_width},
                                .classes = bench.data.training.classes(),
                                .depth = o.depth,
                                .pooling = o.pool == "mean" ? Pooling::mean : Pooling::class_token,
                                .token_dropout = o.token_dropout};
  sizes.block = {.dim = o.dim, .heads = o.heads, .head_dim = o.head_dim, .step = o.step, .lambda = o.lambda};
  sizes.block.dropout = o.dropout;
  Model model(sizes);
  initialise(model, o.trainer.seed);
  return model;
}

/// The model of --from with a new head, its positions stretched to the images at hand.
template <class Model>
Model with_new_head(Model model, const Bench& bench) {
  const ImageDataSet& images = bench.data.training;
  check_size("fine-tuning: channels of the images", images.channels, model.grid.channels);
  if (images.height != model.grid.image_height() || images.width != model.grid.image_width())
    model.resize_images(images.height, images.width);
  model.head = ClassifierHead<typename Model::Scalar>(model.dim(), images.classes());
  initialise(model.head, bench.options.trainer.seed);
  for (auto& block : model.encoder.layers) block.compress.layer.layer.dropout = bench.options.dropout;
  model.token_dropout = bench.options.token_dropout;
  return model;
}

TrainerOptions trainer_options(const Bench& bench) {
  const Options& o = bench.options;
  TrainerOptions result = o.trainer;
  result.check();
  const Index steps = bench.data.training.size() / result.batch;
  result.schedule = {.decay = o.decay,
                     .warm_up = std::lround(o.warm_up_epochs * static_cast<double>(steps)),
                     .steps = result.epochs * steps,
                     .final_factor = o.final_factor};
  result.checkpoint = o.checkpoint;
  result.history = o.history;
  return result;
}

/// What a checkpoint must agree in beside the trainer's own options.
template <class RuleOptions>
Recipe recipe_of(const Bench& bench, const RuleOptions& rule) {
  Recipe recipe;
  describe(recipe, rule);
  recipe.emplace_back("label smoothing", detail::exact_text(bench.options.label_smoothing));
  recipe.emplace_back("crop", detail::exact_text(bench.options.augmentation.padding));
  recipe.emplace_back("flip", detail::exact_text(bench.options.augmentation.flip));
  recipe.emplace_back("dropout", detail::exact_text(bench.options.dropout));
  recipe.emplace_back("token dropout", detail::exact_text(bench.options.token_dropout));
  recipe.emplace_back("eta", detail::exact_text(bench.options.step));
  recipe.emplace_back("lambda", detail::exact_text(bench.options.lambda));
  for (std::size_t c = 0; c < bench.normalisation.mean.size(); ++c)
    recipe.emplace_back(concatenate("pixels of channel ", c),
                        concatenate(detail::exact_text(bench.normalisation.mean[c]), " +- ",
                                    detail::exact_text(bench.normalisation.deviation[c])));
  return recipe;
}

template <class Model, class OptimisationRule>
int train(const Bench& bench, Model model, OptimisationRule rule) {
  using Source = ImageSource<typename Model::Scalar>;
  const Options& o = bench.options;
  const Source training{bench.data.training, bench.normalisation, o.augmentation};
  const Source test{bench.data.test, bench.normalisation, {}};
  const Recipe recipe = recipe_of(bench, rule.options);
  TrainingState<Model, OptimisationRule> state{.model = std::move(model), .optimiser = std::move(rule)};
  if (o.average_decay > 0) state.average.emplace(state.model, o.average_decay);
  const ClassificationObjective<Model> objective{{.label_smoothing = o.label_smoothing}};
  Trainer trainer(state, objective, training, test, trainer_options(bench), bench.threads, recipe);
  if (o.resume && trainer.resume())
    std::printf("\ngoes on behind step %td of %td\n", state.step, trainer.total_steps());

  train_classifier::print_epoch_heading();
  const bool finished = trainer.run(train_classifier::print_epoch);
  if (!finished) {
    std::printf("\ninterrupted behind step %td of %td%s\n", state.step, trainer.total_steps(),
                o.checkpoint.empty() ? "" : "; --resume goes on from here");
    return 130;
  }
  train_classifier::print_layers(state.result(), test, bench.threads);
  if (!o.output.empty()) save_model(o.output, state.result());
  return 0;
}

template <class Model>
int train(const Bench& bench, Model model) {
  const Options& o = bench.options;
  const bool vectors = !o.decay_matrices_only;
  std::printf("%s, %td parameters, patches of %td x %td; %td training and %td test images of %td classes\n",
              std::string(family_name(detail::PublishedFormat<Model>::family)).c_str(), parameter_count(model),
              model.grid.height, model.grid.width, bench.data.training.size(), bench.data.test.size(), model.classes());
  switch (o.rule) {
    case train_classifier::Rule::lion:
      return train(bench, model,
                   Lion(model, {.rate = o.rate,
                                .beta1 = o.beta1,
                                .beta2 = o.beta2 < 0 ? 0.99 : o.beta2,
                                .weight_decay = o.weight_decay,
                                .decay_vectors = vectors}));
    case train_classifier::Rule::sgd:
      return train(
          bench, model,
          Sgd(model,
              {.rate = o.rate, .momentum = o.momentum, .weight_decay = o.weight_decay, .decay_vectors = vectors}));
    case train_classifier::Rule::adamw:
      break;
  }
  return train(bench, model,
               AdamW(model, {.rate = o.rate,
                             .beta1 = o.beta1,
                             .beta2 = o.beta2 < 0 ? 0.999 : o.beta2,
                             .weight_decay = o.weight_decay,
                             .decay_vectors = vectors}));
}

int fine_tune(const Bench& bench, bool heads_given) {
  LoadOptions load;
  if (heads_given) load.heads = bench.options.heads;
  load.weights_at = bench.options.weights_at;
  const auto begin = [&]<class Model>(Model model) -> int {
    if constexpr (requires { model.head; })
      return train(bench, with_new_head(std::move(model), bench));
    else
      throw file_error(bench.options.from, "expected the weights of a classifier, found those of a masked autoencoder");
  };
  return std::visit(begin, load_model<float>(bench.options.from, load));
}

int run(const Options& options, bool heads_given) {
  Threads threads(options.threads);
  const TrainingAndTest data = train_classifier::read_data(options, threads);
  const ImageNormalisation normalisation = train_classifier::normalisation_of(options, data.training);
  const Bench bench{options, data, normalisation, threads};
  if (!options.from.empty()) return fine_tune(bench, heads_given);
  if (options.family == "crate") return train(bench, fresh_model<CrateClassifier<float>>(bench));
  return train(bench, fresh_model<CrateAlphaClassifier<float>>(bench));
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app("Trains a CRATE or CRATE-alpha image classifier.");
  train_classifier::add_options(app, options);
  CLI11_PARSE(app, count, arguments);
  try {
    return run(options, app.count("--heads") > 0);
  } catch (const std::exception& error) {
    std::cerr << "train_classifier: " << error.what() << '\n';
    return 1;
  }
}
