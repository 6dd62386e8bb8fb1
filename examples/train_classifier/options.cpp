// SPDX-License-Identifier: MIT
#include "train_classifier/options.hpp"

#include "load_options.hpp"
#include "program_options/program_options.hpp"

namespace train_classifier {

namespace {

using program_options::add_choice;
using program_options::begin_group;

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
  image_program::add_patch_option(app, o.patch);
  app.add_option("--dim", o.dim, "width of the tokens");
  app.add_option("--depth", o.depth, "number of blocks");
  app.add_option("--heads", o.heads,
                 "number of attention heads; with --from needed only if its file does not record it");
  app.add_option("--head-dim", o.head_dim, "width of a head [dim / heads]");
  add_choice(app, "--pool", o.pool, {"cls", "mean"},
             "what the head reads: cls (the class token) or mean (the mean of all tokens) [from --from, or cls]");
  training_program::add_ista_options(app, o.step, o.lambda);
  training_program::add_dropout_options(app, o.dropout, o.token_dropout);
  app.add_option(
         "--from", o.from,
         "fine-tune these weights: a classifier, a result of train_dino, or a masked autoencoder (its encoder is "
         "used); the head is replaced, and the sizes are those of the weights")
      ->type_name("FILE");
  examples::add_weights_at(app, o.weights_at);
}

void add_recipe_options(CLI::App& app, Options& o) {
  begin_group(app, "Recipe");
  training_program::Options& t = o.training;
  training_program::add_rule_options(app, t);
  app.add_option("--label-smoothing", t.label_smoothing, "spread this share of each label evenly over all classes");
  training_program::add_length_options(app, t);
  training_program::add_batch_options(app, t, "images");
}

}  // namespace

void add_options(CLI::App& app, Options& options) {
  image_program::add_data_options(app, options.images, "from --from, or ");
  add_model_options(app, options);
  add_recipe_options(app, options);
  training_program::add_file_options(app, options.training, "epoch", image_program::continued_options().changeable);
}

}  // namespace train_classifier
