// SPDX-License-Identifier: MIT

// Trains an image classifier on data sets in the format of MNIST, CIFAR-10 or folders of pictures: from scratch, or
// with a new head from other weights, also those of a masked autoencoder.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "crate/core/detail/count_of.hpp"
#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/io/save_model.hpp"
#include "crate/training/trainer.hpp"
#include "image_program/data.hpp"
#include "load_options.hpp"
#include "program_options/program_options.hpp"
#include "train_classifier/check_options.hpp"
#include "train_classifier/options.hpp"
#include "train_classifier/report.hpp"
#include "training_program/attention_dropout.hpp"
#include "training_program/run.hpp"

namespace {

using namespace crate;
using train_classifier::Options;

/// Everything that a training works on but the model.
struct TrainingSetup {
  const Options& options;
  const Metadata& described_options;
  const TrainingAndTest& data;
  const ImagePreprocessing& preprocessing;
  Threads& threads;
};

/// Whether the head reads the class token or the mean of all.
Pooling pooling_of(const Options& o) { return o.pool == "mean" ? Pooling::mean : Pooling::class_token; }

/// Fills the options of a block, of whichever kind it is.
void set_block(const Options& o, auto& block) {
  block.dim = o.dim;
  block.heads = o.heads;
  block.dropout = o.dropout;
  if constexpr (requires { block.head_dim; }) block.head_dim = o.head_dim;
  if constexpr (requires { block.lambda; }) {
    block.step = o.step;
    block.lambda = o.lambda;
  }
}

template <class Model>
Model fresh_model(const TrainingSetup& setup) {
  const Options& o = setup.options;
  typename Model::Options sizes{.image = image_program::image_options(o.patch, setup.data.training),
                                .classes = setup.data.training.classes(),
                                .depth = o.depth,
                                .pooling = pooling_of(o),
                                .token_dropout = o.token_dropout};
  set_block(o, sizes.block);
  if constexpr (requires { sizes.block.norm_epsilon; }) sizes.head_norm_epsilon = sizes.block.norm_epsilon;
  Model model(sizes);
  initialise(model, o.training.trainer.seed);
  return model;
}

/// The model of --from with a new head, its positions stretched to the images at hand.
template <class Model>
Model with_new_head(Model model, const TrainingSetup& setup) {
  const ImageDataSet& images = setup.data.training;
  if (images.height != patch_grid(model).image_height() || images.width != patch_grid(model).image_width())
    model.resize_images(images.height, images.width);
  model.head = ClassifierHead<typename Model::Scalar>(model.dim(), images.classes(), model.head.norm.options);
  initialise(model.head, setup.options.training.trainer.seed);
  model.about.head_is_trained = true;  // when this training is over
  training_program::set_attention_dropout(model.encoder.layers, setup.options.dropout);
  model.tokens.token_dropout = setup.options.token_dropout;
  return model;
}

TrainerOptions trainer_options(const TrainingSetup& setup) {
  const training_program::Options& training = setup.options.training;
  return training_program::trainer_options(
      training, training_program::schedule_in_epochs(training, setup.data.training.size()), setup.described_options);
}

/// What a checkpoint must agree in beside the trainer's own options.
template <class Model>
Recipe recipe_of(const TrainingSetup& setup, const Model& model) {
  const detail::FirstLayer first = detail::first_layer(model);
  Recipe recipe;
  describe(recipe, training_program::optimiser_options(setup.options.training));
  recipe.emplace_back("label smoothing", detail::exact_text(setup.options.training.label_smoothing));
  image_program::describe(recipe, setup.options.images.augmentation_of(setup.data.training),
                          setup.preprocessing.normalisation);
  recipe.emplace_back("dropout", detail::exact_text(setup.options.dropout));
  recipe.emplace_back("token dropout", detail::exact_text(setup.options.token_dropout));
  if (first.step) recipe.emplace_back("eta", detail::exact_text(*first.step));
  if (first.lambda) recipe.emplace_back("lambda", detail::exact_text(*first.lambda));
  return recipe;
}

template <class Model>
void print_model(const Model& model, const TrainingAndTest& data) {
  std::printf("%s, %td parameters, patches of %td x %td; %td training and %s of %s\n",
              std::string(FamilyOf<Model>::name).c_str(), parameter_count(model), patch_grid(model).height,
              patch_grid(model).width, data.training.size(), detail::count_of(data.test.size(), "test image").c_str(),
              detail::count_of(model.output_dim(), "class").c_str());
  std::fflush(stdout);
}

template <class Model>
int train(const TrainingSetup& setup, Model model) {
  using Source = ImageSource<typename Model::Scalar>;
  const Options& o = setup.options;
  model.about.preprocessing = setup.preprocessing;
  model.about.class_names = setup.data.training.class_names;
  print_model(model, setup.data);
  const Source training{setup.data.training, setup.preprocessing.normalisation,
                        o.images.augmentation_of(setup.data.training)};
  const Source test{setup.data.test, setup.preprocessing.normalisation, {}};
  const Recipe recipe = recipe_of(setup, model);
  auto state = training_program::first_state<ClassificationObjective<Model>>(
      std::move(model), o.training, {.loss = {.label_smoothing = o.training.label_smoothing}});
  Trainer trainer(state, training, test, trainer_options(setup), setup.threads, recipe);
  const Index classes = setup.data.training.classes();
  if (!training_program::run(
          trainer, state, o.training, training_program::length_in_epochs(o.training),
          [&] { train_classifier::print_epoch_heading(classes); },
          [&](const auto& report) { train_classifier::print_epoch(report, classes); }))
    return training_program::interrupted;
  train_classifier::print_layers(state.result(), test, setup.threads);
  if (!o.training.output.empty()) std::printf("\nweights written to %s\n", o.training.output.c_str());
  return 0;
}

/// Calls action(model) with the classifier that a file holds, of any family.
template <class Action>
int with_classifier(AnyModel<float, ImageFamilies> any_model, const std::string& path, const Action& action) {
  const auto visit = [&]<class Model>(Model model) -> int {
    if constexpr (train_classifier::is_classifier<FamilyOf<Model>>)
      return action(std::move(model));
    else
      throw file_error(path, "expected the weights of a classifier, found those of ", FamilyOf<Model>::kind);
  };
  return std::visit(visit, std::move(any_model));
}

/// The same for a model to begin with, which may be a masked autoencoder: then with the classifier on its encoder.
template <class Action>
int with_classifier_to_tune(AnyModel<float, ImageFamilies> any_model, const Options& options, const Action& action) {
  const auto visit = [&]<class Model>(Model& model) -> int {
    if constexpr (requires { classifier_of(model, Index{1}, Pooling::mean); })
      return action(classifier_of(model, /*classes*/ 1, pooling_of(options)));
    else
      return with_classifier(std::move(any_model), options.from, action);
  };
  return std::visit(visit, any_model);
}

/// Trains a new model of the family that is asked for.
int train_fresh(const TrainingSetup& setup) {
  int status = 1;
  for_each_family([&]<class Family>(Family) {
    if constexpr (train_classifier::is_classifier<Family>)
      if (setup.options.family == Family::name)
        status = train(setup, fresh_model<typename Family::template Model<float>>(setup));
  });
  return status;
}

Metadata describe_options(const CLI::App& app, const Options& options) {
  return training_program::describe_options<Options>(
      app, train_classifier::add_options, image_program::continued_options(),
      [&](std::string_view name) { return train_classifier::why_without_effect(name, options); },
      [&](std::string_view name) { return (name == "--heads" || name == "--pool") && !options.from.empty(); });
}

int run(CLI::App& app, Options& options) {
  auto begun = training_program::read_begun_training<ImageFamilies>(options.training);
  if (begun) training_program::complete_options(app, begun->notes, image_program::continued_options());
  train_classifier::check_options(app, options);

  Threads threads(options.training.threads);
  const Metadata described = describe_options(app, options);
  const auto with_data = [&](const image_program::Input& input, const auto& action) {
    const image_program::Data data = image_program::read_data(options.images, input, "train_classifier", threads);
    image_program::check_batch(data.sets.training, options.training.trainer.batch);
    if (data.sets.training.classes() < 2)
      throw file_error(options.images.folder, "expected images of at least 2 classes, found ",
                       data.sets.training.classes());
    return action(TrainingSetup{options, described, data.sets, data.preprocessing, threads});
  };
  const auto with_input_of = [&](const auto& model, const auto& action) {
    return with_data(image_program::input_of(model), action);
  };
  if (begun && begun->model)
    return with_classifier(*std::move(begun->model), options.training.checkpoint, [&](auto model) {
      return with_input_of(model, [&](const TrainingSetup& setup) {
        image_program::check_images(setup.data.training, patch_grid(model));
        check_size("images for the resumed training: classes", setup.data.training.classes(), model.output_dim());
        return train(setup, std::move(model));
      });
    });
  if (!options.from.empty()) {
    LoadOptions load;
    if (app.count("--heads") > 0) load.heads = options.heads;
    if (!options.weights_at.empty()) load.weights_at = options.weights_at;
    return with_classifier_to_tune(load_model<float, ImageFamilies>(options.from, load), options, [&](auto model) {
      if (app.count("--pool") > 0) model.pool.pooling = pooling_of(options);
      return with_input_of(
          model, [&](const TrainingSetup& setup) { return train(setup, with_new_head(std::move(model), setup)); });
    });
  }
  return with_data({}, train_fresh);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Trains an image classifier (CRATE, CRATE-alpha or a vision transformer) on a data set of images, from\n"
      "scratch or from other weights. For example:\n"
      "train_classifier --data fashion-mnist --output classifier.safetensors\n");
  program_options::set_up(app, "train_classifier");
  train_classifier::add_options(app, options);
  return training_program::on_all_ranks("train_classifier", options.training, [&] {
    return program_options::run(app, count, arguments, [&] { return run(app, options); });
  });
}
