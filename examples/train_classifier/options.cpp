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
  add_choice(app, "--optimiser", o.rule, {"adamw", "lion", "sgd"}, "adamw, lion or sgd");
  app.add_option("--rate", o.rate, "learning rate after the warm-up");
  app.add_option("--weight-decay", o.weight_decay, "of the parameters, decoupled from the gradient");
  app.add_flag("--decay-matrices-only", o.decay_matrices_only, "one-dimensional parameters do not decay");
  app.add_option("--momentum", o.momentum, "of sgd");
  app.add_option("--beta1", o.beta1, "of adamw and lion");
  app.add_option("--beta2", o.beta2, "of adamw and lion [0.999 and 0.99]");
  add_choice(app, "--schedule", o.schedule, {"constant", "linear", "cosine"},
             "of the rate: constant, linear or cosine");
  app.add_option("--warm-up", o.warm_up_epochs, "epochs in which the rate rises")->check(CLI::NonNegativeNumber);
  app.add_option("--final-factor", o.final_factor, "of the rate, where the schedule ends");
  app.add_option("--label-smoothing", o.label_smoothing, "share of each label that is spread over all classes");
  app.add_option("--clip", o.trainer.largest_norm, "largest norm of the gradient; 0 for any");
  app.add_option("--average-decay", o.average_decay,
                 "of a moving average of the weights, which is then kept, below 1; 0 for none");
  app.add_option("--epochs", o.trainer.epochs, "passes over the data; those before --resume count");
  app.add_option("--batch", o.trainer.batch, "images of a step");
  app.add_option("--micro-batch", o.trainer.cut.micro_batch, "images that a thread holds at a time");
  app.add_option("--lanes", o.trainer.cut.lanes, "gradients summed apart; more threads than that do not help");
  program_options::add_seed(app, o.trainer.seed);
  program_options::add_threads(app, o.threads);
}

void add_file_options(CLI::App& app, Options& o) {
  begin_group(app, "Files that are written");
  app.add_option("--output", o.output, "safetensors file for the trained weights, under their published names [none]")
      ->type_name("FILE");
  app.add_option("--checkpoint", o.checkpoint,
                 "holds the whole training after every epoch; other programs take it for weights [none]")
      ->type_name("FILE");
  app.add_option("--checkpoint-every", o.trainer.checkpoint_every, "and after every so many steps; 0 for none");
  app.add_flag("--resume", o.resume,
               "go on from the checkpoint, if there is one: with its options, of which --epochs, the files and --data "
               "may change");
  app.add_option("--history", o.history, "JSON lines, to which is added what every epoch brought [none]")
      ->type_name("FILE");
  app.add_option("--history-every", o.trainer.history_every, "and the loss of every so many steps; 0 for none");
  app.add_flag("--discard", o.discard, "keep nothing: instead of --output or --checkpoint, to try or to measure");
}

}  // namespace

void add_options(CLI::App& app, Options& options) {
  add_data_options(app, options);
  add_model_options(app, options);
  add_recipe_options(app, options);
  add_file_options(app, options);
}

}  // namespace train_classifier
