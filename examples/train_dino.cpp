// SPDX-License-Identifier: MIT

// Trains the encoder of an image classifier without labels: a student learns to see in one part of an image what its
// teacher, its own moving average, sees in another. Two objectives: that of the coding rate, and DINO.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "crate/core/detail/count_of.hpp"
#include "crate/crate.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/io/pictures/read_image_data_set.hpp"
#include "crate/io/save_model.hpp"
#include "crate/training/trainer.hpp"
#include "image_program/data.hpp"
#include "image_program/options.hpp"
#include "program_options/program_options.hpp"
#include "train_dino/knn_evaluation.hpp"
#include "train_dino/options.hpp"
#include "train_dino/recipe.hpp"
#include "train_dino/report.hpp"
#include "train_dino/training_setup.hpp"
#include "training_program/run.hpp"

namespace {

using namespace crate;
using train_dino::Options;
using train_dino::TrainingSetup;

template <class Classifier>
SelfDistilled<Classifier> fresh_model(const TrainingSetup& setup) {
  const Options& o = setup.options;
  const ImageDataSet& images = setup.data.training;
  typename Classifier::Options sizes{.image = image_program::image_options(train_dino::patch_of(o, images), images),
                                     .classes = images.classes(),
                                     .depth = o.depth,
                                     .pooling = o.pool == "mean" ? Pooling::mean : Pooling::class_token};
  sizes.block.dim = o.dim;
  sizes.block.heads = o.heads;
  if constexpr (requires { sizes.block.norm_epsilon; }) sizes.head_norm_epsilon = sizes.block.norm_epsilon;
  SelfDistilled<Classifier> model(
      Classifier(sizes), {.hidden = o.hidden, .bottleneck = o.bottleneck, .outputs = setup.is_dino() ? o.outputs : 0});
  initialise(model, o.training.trainer.seed);
  model.encoder.about.preprocessing = setup.preprocessing;
  model.encoder.about.class_names = images.class_names;
  set_drop_path(model.encoder.encoder, o.drop_path);
  return model;
}

template <class Classifier>
void print_model(const SelfDistilled<Classifier>& model, const TrainingSetup& setup) {
  const PatchGrid& grid = patch_grid(model);
  std::printf(
      "%s, %td parameters and %td of the projection head, patches of %td x %td; %s to train on, 2 + %td "
      "views of each\n",
      std::string(FamilyOf<Classifier>::name).c_str(), parameter_count(model.encoder),
      parameter_count(model.projection), grid.height, grid.width,
      detail::count_of(setup.data.training.size(), "image").c_str(), setup.options.locals);
}

template <class Classifier>
int train(const TrainingSetup& setup) {
  using Model = SelfDistilled<Classifier>;
  const Options& o = setup.options;
  Model model = fresh_model<Classifier>(setup);
  const Index side = train_dino::local_side(o, setup.data.training, patch_grid(model));
  print_model(model, setup);
  const ViewSource<float> training{setup.data.training, setup.preprocessing.normalisation,
                                   train_dino::views_of(setup, side)};
  const Recipe recipe = train_dino::recipe_of(setup, side);
  SelfDistillationObjective<Model> objective(train_dino::rule_of(setup), model.output_dim(), o.locals, {side, side});
  auto state = training_program::first_state(std::move(model), o.training, std::move(objective));
  state.average.emplace(state.model, o.teacher_momentum);
  state.objective.evaluation = train_dino::evaluation_of(setup, state);
  Trainer trainer(state, training, training, train_dino::trainer_options(setup), setup.threads, recipe);
  const auto begin = [&] {
    if (state.step == 0) train_dino::print_untrained(setup, state.result().encoder);
    train_dino::print_epoch_heading(setup.is_dino());
    std::fflush(stdout);
  };
  const auto on_epoch = [&](const auto& report) { train_dino::print_epoch(report, setup.is_dino()); };
  if (!training_program::run(trainer, state, o.training, training_program::length_in_epochs(o.training), begin,
                             on_epoch))
    return training_program::interrupted;
  if (!o.training.output.empty())
    std::printf(
        "\nthe teacher's encoder is in %s, as a classifier whose last map is untrained: for probe, and for\n"
        "train_classifier --from\n",
        o.training.output.c_str());
  return 0;
}

Metadata describe_options(const CLI::App& app, const Options& options) {
  return training_program::describe_options<Options>(
      app, train_dino::add_options, train_dino::continued_options(),
      [&](std::string_view name) { return train_dino::why_without_effect(name, options); });
}

int run(CLI::App& app, Options& options) {
  if (const auto begun = training_program::read_begun_checkpoint(options.training))
    training_program::complete_options(app, checkpoint_notes(*begun), train_dino::continued_options());
  else
    train_dino::apply_preset(app, options);
  train_dino::check_options(app, options);
  Threads threads(options.training.threads);
  const Metadata described = describe_options(app, options);
  const image_program::Data data = image_program::read_data(options.data, {}, "train_dino", threads);
  image_program::check_batch(data.sets.training, options.training.trainer.batch);
  const ImageDataSet &training = data.sets.training, &test = data.sets.test;
  const std::optional<ImageDataSet> knn_training = train_dino::part_of(training, options.knn_images),
                                    knn_test = train_dino::part_of(test, options.knn_images);
  const TrainingSetup setup{options,
                            described,
                            data.sets,
                            knn_training ? *knn_training : training,
                            knn_test ? *knn_test : test,
                            data.preprocessing,
                            threads};
  return options.family == "vit" ? train<TransformerClassifier<float>>(setup) : train<CrateClassifier<float>>(setup);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Trains the encoder of an image classifier without labels, by self-distillation (SimDINO or DINO). For example:\n"
      "train_dino --data fashion-mnist --output encoder.safetensors\n");
  program_options::set_up(app, "train_dino");
  train_dino::add_options(app, options);
  return training_program::on_all_ranks("train_dino", options.training, [&] {
    return program_options::run(app, count, arguments, [&] { return run(app, options); });
  });
}
