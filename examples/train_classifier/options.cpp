// SPDX-License-Identifier: MIT
#include "train_classifier/options.hpp"

#include "load_options.hpp"
#include "program_options/program_options.hpp"

namespace train_classifier {

namespace {

using program_options::add_choice;
using program_options::begin_group;

void add_data_options(CLI::App& app, Options& o) {
  begin_group(app, "Data");
  app.add_option("--data", o.data,
                 "IDX files (MNIST, Fashion-MNIST), CIFAR binary, or train/CLASS/*.png and test/CLASS/*.png")
      ->type_name("FOLDER");
  app.add_option("--mean", o.mean,
                 "of the pixels in 0..1, for each channel, as in 0.49,0.48,0.45 [that of --from, or measured]")
      ->delimiter(',')
      ->type_name("X,X,...");
  app.add_option("--deviation", o.deviation,
                 "of the pixels in 0..1, for each channel, as in 0.49,0.48,0.45 [that of --from, or measured]")
      ->delimiter(',')
      ->type_name("X,X,...");
  app.add_option("--image", o.image, "size to which pictures in folders are brought [that of --from, or 224x224]")
      ->type_name("HEIGHTxWIDTH");
  app.add_flag("--as-stored", o.as_stored, "read pixels as they are stored, whatever orientation the camera noted");
  app.add_flag("--strict", o.strict, "a picture that cannot be read is an error; else it is named and left out");
  app.add_option("--crop", o.augmentation.padding, "move training images by up to so many pixels")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--flip", o.augmentation.flip, "mirror every second training image, by chance");
}

std::vector<std::string> classifier_families() {
  std::vector<std::string> names;
  crate::for_each_family([&]<class Family>(Family) {
    if constexpr (is_classifier<Family>) names.emplace_back(Family::name);
  });
  return names;
}

void add_model_options(CLI::App& app, Options& o) {
  begin_group(app, "Model");
  const std::vector<std::string> families = classifier_families();
  add_choice(app, "--family", o.family, families, program_options::alternatives(families));
  app.add_option("--patch", o.patch,
                 "size of the patches [the smallest of 4x4, 8x8, 16x16, 32x32 that cut an image into at most 256]")
      ->type_name("HEIGHTxWIDTH");
  app.add_option("--dim", o.dim, "width of the tokens");
  app.add_option("--depth", o.depth, "blocks");
  app.add_option("--heads", o.heads, "number of heads; of --from too, unless its file carries them");
  app.add_option("--head-dim", o.head_dim, "width of a head [dim / heads]");
  add_choice(app, "--pool", o.pool, {"cls", "mean"}, "token that the head reads: cls (the class token) or mean");
  app.add_option("--step-size", o.step, "eta of ISTA");
  app.add_option("--lambda", o.lambda, "lambda of ISTA");
  app.add_option("--dropout", o.dropout, "in the attention");
  app.add_option("--token-dropout", o.token_dropout, "of what enters the first block");
  app.add_option("--from", o.from, "fine-tune: weights to begin with; the head is new, sizes are theirs")
      ->type_name("FILE");
  examples::add_weights_at(app, o.weights_at);
}

void add_recipe_options(CLI::App& app, Options& o) {
  begin_group(app, "Recipe");
  training_program::Options& t = o.training;
  training_program::add_rule_options(app, t);
  app.add_flag("--decay-matrices-only", t.decay_matrices_only, "one-dimensional parameters do not decay");
  app.add_option("--warm-up", o.warm_up_epochs, "epochs in which the rate rises")->check(CLI::NonNegativeNumber);
  app.add_option("--label-smoothing", t.label_smoothing, "share of each label that is spread over all classes");
  app.add_option("--epochs", t.trainer.epochs, "passes over the data; those before --resume count");
  training_program::add_batch_options(app, t, "images");
}

}  // namespace

void add_options(CLI::App& app, Options& options) {
  add_data_options(app, options);
  add_model_options(app, options);
  add_recipe_options(app, options);
  training_program::add_file_options(app, options.training, "epoch", "--epochs, the files and --data");
}

}  // namespace train_classifier
