// SPDX-License-Identifier: MIT

// Trains a masked autoencoder, CRATE-MAE or the same model with ordinary transformer blocks, on data sets in the format
// of MNIST, CIFAR-10 or folders of pictures; classes are not used. Writes a picture of reconstructed test images.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "crate/core/detail/count_of.hpp"
#include "crate/io/families.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/io/save_model.hpp"
#include "crate/training/masked_autoencoding.hpp"
#include "crate/training/trainer.hpp"
#include "image_program/data.hpp"
#include "program_options/program_options.hpp"
#include "train_autoencoder/grid.hpp"
#include "train_autoencoder/options.hpp"
#include "training_program/run.hpp"

namespace {

using namespace crate;
using train_autoencoder::Families;
using train_autoencoder::Options;

/// Everything that a training works on but the model.
struct TrainingSetup {
  const Options& options;
  const Metadata& described_options;
  const image_program::Data& data;
  Threads& threads;
};

void set_blocks(const Options& o, MaskedAutoencoderOptions& sizes) {
  sizes.dim = o.dim;
  sizes.heads = o.heads;
  sizes.head_dim = o.head_dim;
  sizes.step = o.step;
  sizes.lambda = o.lambda;
}

void set_blocks(const Options& o, TransformerMaskedAutoencoder<float>::Options& sizes) {
  sizes.encoder.dim = sizes.decoder.dim = o.dim;
  sizes.encoder.heads = sizes.decoder.heads = o.heads;
}

template <class Model>
Model fresh_model(const TrainingSetup& setup) {
  const Options& o = setup.options;
  typename Model::Options sizes;
  sizes.image = image_program::image_options(o.patch, setup.data.sets.training);
  sizes.depth = o.depth;
  sizes.decoder_depth = o.decoder_depth;
  sizes.mask_ratio = o.mask_ratio;
  sizes.normalise_pixels = o.normalise_patches;
  set_blocks(o, sizes);
  Model model(sizes);
  initialise(model, o.training.trainer.seed);
  return model;
}

/// What a checkpoint must agree in beside the trainer's own options and the model.
Recipe recipe_of(const TrainingSetup& setup) {
  Recipe recipe;
  describe(recipe, training_program::optimiser_options(setup.options.training));
  image_program::describe(recipe, setup.options.images.augmentation_of(setup.data.sets.training),
                          setup.data.preprocessing.normalisation);
  return recipe;
}

template <class Model>
void print_model(const Model& model, const TrainingAndTest& data) {
  const Index patches = patch_grid(model).patches();
  std::printf("%s, %td parameters, %s of %td x %td, %td of them hidden; %td training and %s\n",
              std::string(FamilyOf<Model>::name).c_str(), parameter_count(model),
              detail::count_of(patches, "patch").c_str(), patch_grid(model).height, patch_grid(model).width,
              patches - kept_patches(model), data.training.size(),
              detail::count_of(data.test.size(), "test image").c_str());
  std::fflush(stdout);
}

void print_heading() {
  std::printf(
      "\nloss of the hidden patches, compared with that of predicting each pixel as the mean visible pixel of its "
      "image\n"
      "  epoch   training loss   test loss   mean pixel   ratio   seconds\n");
}

void print_epoch(const EpochReport<MaskedAutoencodingMeasures>& report) {
  std::printf("  %5td   %13.4f   %9.4f   %10.4f   %5.3f   %7.1f\n", report.epoch, report.training.loss.mean(),
              report.test.loss.mean(), report.test.mean_pixel_loss(), report.test.loss_over_mean_pixel(),
              report.seconds);
  std::fflush(stdout);
}

void print_grid(const std::string& path, bool is_normalised) {
  if (path.empty()) return;
  std::printf("\n%s shows the first test images, their visible patches, and the reconstruction\n", path.c_str());
  if (is_normalised)
    std::printf("the model predicts normalised patches; the picture uses the true mean and deviation of each patch\n");
}

template <class Model>
int train(const TrainingSetup& setup, Model model) {
  using Source = ImageSource<typename Model::Scalar>;
  const Options& o = setup.options;
  model.about.preprocessing = setup.data.preprocessing;
  print_model(model, setup.data.sets);
  const ImageNormalisation& pixels = setup.data.preprocessing.normalisation;
  const Source training{setup.data.sets.training, pixels, o.images.augmentation_of(setup.data.sets.training)};
  const Source test{setup.data.sets.test, pixels, {}};
  auto state = training_program::first_state<MaskedAutoencodingObjective<Model>>(std::move(model), o.training);
  const Schedule schedule = training_program::schedule_in_epochs(o.training, training.size());
  Trainer trainer(state, training, test,
                  training_program::trainer_options(o.training, schedule, setup.described_options), setup.threads,
                  recipe_of(setup));
  const auto on_epoch = [&](const auto& report) {
    print_epoch(report);
    if (!o.grid.empty()) write_png(o.grid, train_autoencoder::picture_of(state.result(), test, setup.threads));
  };
  if (!training_program::run(trainer, state, o.training, training_program::length_in_epochs(o.training), print_heading,
                             on_epoch))
    return training_program::interrupted;
  print_grid(o.grid, state.model.about.normalise_pixels);
  if (!o.training.output.empty())
    std::printf("weights of encoder and decoder written to %s\n", o.training.output.c_str());
  return 0;
}

/// A new model of the family that is asked for.
AnyModel<float, Families> fresh_model_of_family(const TrainingSetup& setup) {
  std::optional<AnyModel<float, Families>> model;
  detail::FamilyList<Families>::for_each([&]<class Family>(Family) {
    if (setup.options.family == Family::name) model = fresh_model<typename Family::template Model<float>>(setup);
  });
  return std::move(model).value();
}

Metadata describe_options(const CLI::App& app, const Options& options) {
  return training_program::describe_options<Options>(
      app, train_autoencoder::add_options, train_autoencoder::continued_options(),
      [&](std::string_view name) { return train_autoencoder::why_without_effect(name, options); });
}

int run(CLI::App& app, Options& options) {
  auto begun = training_program::read_begun_training<Families>(options.training);
  if (begun)
    training_program::complete_options(app, begun->notes, train_autoencoder::continued_options());
  else
    train_autoencoder::apply_preset(app, options);
  train_autoencoder::check_options(app, options);

  Threads threads(options.training.threads);
  const Metadata described = describe_options(app, options);
  image_program::Input input;
  std::optional<AnyModel<float, Families>> model;
  if (begun) model = std::move(begun->model);
  if (model) input = std::visit([](const auto& of) { return image_program::input_of(of); }, *model);
  const image_program::Data data = image_program::read_data(options.images, input, "train_autoencoder", threads);
  image_program::check_batch(data.sets.training, options.training.trainer.batch);
  const TrainingSetup setup{options, described, data, threads};
  if (!model) model = fresh_model_of_family(setup);
  return std::visit(
      [&](auto& trained) {
        image_program::check_images(data.sets.training, patch_grid(trained));
        return train(setup, std::move(trained));
      },
      *model);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Trains a masked autoencoder on images: CRATE-MAE, or the same model with ordinary transformer blocks.\n"
      "Labels are not used. For example: train_autoencoder --data fashion-mnist --output encoder.safetensors\n");
  program_options::set_up(app, "train_autoencoder");
  train_autoencoder::add_options(app, options);
  return training_program::on_all_ranks("train_autoencoder", options.training, [&] {
    return program_options::run(app, count, arguments, [&] { return run(app, options); });
  });
}
