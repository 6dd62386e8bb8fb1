// SPDX-License-Identifier: MIT
#include "train_dino/options.hpp"

#include <array>
#include <cmath>

#include "crate/core/dropout.hpp"
#include "crate/io/formats/detail/is_among.hpp"
#include "image_program/options.hpp"
#include "program_options/program_options.hpp"
#include "training_program/check_options.hpp"
#include "training_program/presets.hpp"

namespace train_dino {

namespace {

using crate::detail::is_among;
using program_options::add_choice;
using program_options::begin_group;

constexpr const char* small_dino_rate = "0.001";

/// DINO's recipe for ImageNet-1k, and SimDINO's. Their models are of ordinary blocks.
crate::Metadata published_recipe(const CLI::App& app, const Options& o) {
  const bool crate = o.family == "crate";
  crate::Metadata texts = training_program::batch_and_rate(app, o.training, 256, 5e-4);
  texts.insert(texts.end(), {{"--patch", "16x16"},
                             {"--dim", crate ? "576" : "384"},
                             {"--depth", "12"},
                             {"--heads", crate ? "12" : "6"},
                             {"--hidden", "2048"},
                             {"--bottleneck", "256"},
                             {"--outputs", "65536"},
                             {"--pool", "cls"},
                             {"--drop-path", "0.1"},
                             {"--locals", o.objective == "dino" ? "8" : "10"},
                             {"--local-side", "96"},
                             {"--epochs", "100"},
                             {"--warm-up", "10"},
                             {"--teacher-momentum", "0.996"},
                             {"--centre-momentum", "0.9"}});
  return texts;
}

/// At the rate that serves the coding rate best, DINO's teacher comes to tell few images apart.
crate::Metadata small_recipe(const Options& o) {
  if (o.objective != "dino") return {};
  return {{"--rate", small_dino_rate}};
}

crate::Metadata texts_of_preset(const CLI::App& app, const Options& o) {
  return o.preset == "published" ? published_recipe(app, o) : small_recipe(o);
}

constexpr std::array<std::string_view, 7> of_dino = {"--outputs",
                                                     "--student-temperature",
                                                     "--teacher-temperature",
                                                     "--first-teacher-temperature",
                                                     "--temperature-epochs",
                                                     "--centre-momentum",
                                                     "--frozen-epochs"};

constexpr std::array<std::string_view, 3> of_coding_rate = {"--squared-epsilon", "--comparison", "--expansion-of"};

void add_data_options(CLI::App& app, Options& o) {
  begin_group(app, "Data");
  image_program::add_folder_option(
      app, o.data, "; classes are used only for the k-NN evaluation: without labels, put all pictures into one folder");
  app.add_option("--image", o.data.image, "resize pictures in folders to this size [224x224]")
      ->type_name("HEIGHTxWIDTH");
  image_program::add_decoding_option(app, o.data.decode_when_drawn);
  image_program::add_images_option(app, o.data.training_images);
  app.add_option("--locals", o.locals,
                 "number of local views of each image, in addition to the two global ones; memory grows with it")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--local-side", o.local_side,
                 "side of the local views in pixels, a multiple of the patch size; 0: about half the image")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--no-flip", o.no_flip, "do not mirror views, as for digits and letters");
  app.add_option(
         "--knn-images", o.knn_images,
         "number of training images and of test images for the k-NN evaluation of the teacher, drawn at random; 0: all")
      ->check(CLI::NonNegativeNumber);
}

void add_model_options(CLI::App& app, Options& o) {
  begin_group(app, "Model");
  training_program::add_preset_option(app, o.preset, {o.preset, "published"},
                                      "published (DINO's recipe and views, for images of 224 x 224; days)");
  add_choice(app, "--family", o.family, {"crate", "vit"}, "crate or vit");
  image_program::add_patch_option(app, o.patch, "the largest of 4x4, 7x7, 8x8, 16x16 that gives at least 16 patches");
  app.add_option("--dim", o.dim, "width of the tokens");
  app.add_option("--depth", o.depth, "number of blocks");
  app.add_option("--heads", o.heads, "number of attention heads");
  add_choice(app, "--pool", o.pool, {"cls", "mean"},
             "what the projection head reads: cls (the class token) or mean (the mean of all tokens)");
  app.add_option("--hidden", o.hidden, "hidden width of the projection head");
  app.add_option("--bottleneck", o.bottleneck, "dimension of the normalised features in the projection head");
  app.add_option("--outputs", o.outputs, "number of outputs (prototypes) of the projection head (dino)");
  app.add_option("--drop-path", o.drop_path,
                 "drop-path probability of the student's last block; it falls linearly to 0 towards the first");
}

void add_objective_options(CLI::App& app, Options& o) {
  begin_group(app, "Objective");
  add_choice(
      app, "--objective", o.objective, {"coding-rate", "dino"},
      "coding-rate (SimDINO: the coding rate of the features prevents collapse) or dino (centring and sharpening do)");
  app.add_option("--squared-epsilon", o.squared_epsilon, "epsilon^2 of the coding rate");
  app.add_option("--comparison", o.comparison, "weight of the similarity of views, relative to the coding rate");
  add_choice(app, "--expansion-of", o.expansion_of, {"both", "student"},
             "whose features enter the coding rate: both (mean of student and teacher) or student");
  app.add_option("--student-temperature", o.student_temperature, "softmax temperature of the student");
  app.add_option("--teacher-temperature", o.teacher_temperature,
                 "softmax temperature of the teacher; lower is sharper");
  app.add_option("--first-teacher-temperature", o.first_teacher_temperature, "teacher's temperature at the first step");
  app.add_option("--temperature-epochs", o.temperature_epochs,
                 "number of epochs in which it changes to --teacher-temperature");
  app.add_option("--centre-momentum", o.centre_momentum,
                 "momentum of the centre of the teacher's outputs; 1: no centring");
  app.add_option("--frozen-epochs", o.frozen_epochs, "number of epochs in which the last layer of the head is frozen");
}

void add_recipe_options(CLI::App& app, Options& o) {
  begin_group(app, "Recipe");
  training_program::Options& t = o.training;
  app.add_option("--rate", t.rate,
                 crate::concatenate("learning rate of AdamW after the warm-up; with --objective dino ", small_dino_rate,
                                    " unless it is given"));
  app.add_option("--final-rate", t.final_rate,
                 "learning rate at the end, to which it falls along a cosine; at most --rate [1e-06, or --rate if that "
                 "is less]");
  app.add_option("--weight-decay", t.weight_decay, "weight decay of the matrices at the first step");
  app.add_option("--final-weight-decay", o.final_weight_decay,
                 "weight decay at the last step; it changes along a cosine");
  app.add_option("--teacher-momentum", o.teacher_momentum,
                 "momentum of the teacher at the first step, below 1; it rises to 1 along a cosine");
  app.add_option("--clip-each", t.trainer.largest_norm,
                 "clip the gradient of each parameter tensor to this norm; 0: no clipping");
  training_program::add_length_options(app, t);
  training_program::add_batch_options(app, t, "images");
}

}  // namespace

void add_options(CLI::App& app, Options& options) {
  add_data_options(app, options);
  add_model_options(app, options);
  add_objective_options(app, options);
  add_recipe_options(app, options);
  training_program::add_file_options(app, options.training, "epoch", continued_options().changeable);
}

void apply_preset(CLI::App& app, const Options& o) {
  training_program::apply_preset(app, texts_of_preset(app, o),
                                 [&](std::string_view name) { return why_without_effect(name, o); });
}

std::string_view why_without_effect(std::string_view name, const Options& o) {
  if (is_among(of_dino, name) && o.objective != "dino") return "--objective is not dino";
  if (is_among(of_coding_rate, name) && o.objective != "coding-rate") return "--objective is not coding-rate";
  if (name == "--local-side" && o.locals == 0) return "--locals is 0";
  if (name == "--first-teacher-temperature" && o.temperature_epochs == 0) return "--temperature-epochs is 0";
  return training_program::why_without_effect(name, o.training);
}

namespace {

void check_objective(const Options& o) {
  using training_program::check_number;
  for (const auto& [name, value] : {std::pair{"--squared-epsilon", o.squared_epsilon},
                                    {"--student-temperature", o.student_temperature},
                                    {"--teacher-temperature", o.teacher_temperature},
                                    {"--first-teacher-temperature", o.first_teacher_temperature}})
    check_number(std::isfinite(value) && value > 0, crate::concatenate(name, ": expected a number > 0"), value);
  check_number(std::isfinite(o.comparison) && o.comparison >= 0, "--comparison: expected a number >= 0", o.comparison);
  check_number(o.centre_momentum >= 0 && o.centre_momentum <= 1, "--centre-momentum: expected a number in [0, 1]",
               o.centre_momentum);
  check_number(std::isfinite(o.temperature_epochs) && o.temperature_epochs >= 0,
               "--temperature-epochs: expected a number of epochs", o.temperature_epochs);
  check_number(o.frozen_epochs >= 0, "--frozen-epochs: expected a number >= 0", static_cast<double>(o.frozen_epochs));
  check_number(o.objective != "dino" || o.outputs >= 1, "--outputs: expected a number >= 1",
               static_cast<double>(o.outputs));
}

void check_recipe(const Options& o) {
  using training_program::check_number;
  for (const auto& [name, value] :
       {std::pair{"--weight-decay", o.training.weight_decay}, {"--final-weight-decay", o.final_weight_decay}})
    check_number(std::isfinite(value) && value >= 0, crate::concatenate(name, ": expected a number >= 0"), value);
  check_number(o.training.weight_decay > 0 || o.final_weight_decay == 0,
               "--final-weight-decay: expected 0 where --weight-decay is 0, from which it cannot rise",
               o.final_weight_decay);
  check_number(o.teacher_momentum >= 0 && o.teacher_momentum < 1, "--teacher-momentum: expected a number in [0, 1)",
               o.teacher_momentum);
  check_number(o.drop_path >= 0 && o.drop_path < 1, "--drop-path: expected a number in [0, 1)", o.drop_path);
}

}  // namespace

void check_options(const CLI::App& app, const Options& o) {
  program_options::check_effects(app, [&](std::string_view name) { return why_without_effect(name, o); });
  training_program::check_given(o.training, "--data", "a folder", o.data.folder);
  check_objective(o);
  check_recipe(o);
  training_program::check_options(o.training, {{"--data", o.data.folder}});
}

}  // namespace train_dino
