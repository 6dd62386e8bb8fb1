// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <string_view>

#include "crate/core/matrix.hpp"
#include "crate/operators/self_distillation.hpp"
#include "image_program/options.hpp"
#include "training_program/begun_training.hpp"
#include "training_program/options.hpp"

namespace train_dino {

using crate::Index;

/// What the command line says; the defaults are a recipe for small images.
struct Options {
  std::string preset = "small-images";

  // the data and its views
  image_program::DataOptions data = {.may_lack_test = true};
  Index knn_images = 5000;           // 0 for all
  Index locals = 4, local_side = 0;  // local_side: 0 for about half of an image
  bool no_flip = false;

  // the model
  std::string family = "crate", patch, pool = "mean";  // pool: cls or mean
  Index dim = 96, depth = 4, heads = 4, hidden = 256, bottleneck = 64, outputs = 1024;
  double drop_path = 0;

  // the objective
  std::string objective = "coding-rate", expansion_of = "both";  // expansion_of: both or student
  double squared_epsilon = 0.05, comparison = 1;
  double student_temperature = 0.1, teacher_temperature = 0.04, first_teacher_temperature = 0.04;
  double temperature_epochs = 0, centre_momentum = 0.5;

  // the recipe and the files
  // Unlike DINO's own recipe, vectors are not decayed, and so neither is the class token, which is one here.
  training_program::Options training = {.rate = 4e-3,
                                        .weight_decay = 0.04,
                                        .weight_decay_of = "matrices",
                                        .warm_up_epochs = 0.5,
                                        .trainer = {.epochs = 8, .batch = 64, .largest_norm = 3}};
  double final_weight_decay = 0.4, teacher_momentum = 0.99;
  Index frozen_epochs = 1;

  /// The learning rate at the end.
  [[nodiscard]] double final_rate() const { return training.final_rate.value_or(std::min(1e-6, training.rate)); }
};

[[nodiscard]] inline training_program::ContinuedOptions continued_options() {
  return {.changeable = {"--data", "--output", "--history", "--epochs", "--checkpoint-every", "--history-every",
                         "--decode-when-drawn"},
          .paths = {"--data", "--output", "--history"}};
}

void add_options(CLI::App& app, Options& options);

/// Gives the options that were not given what the preset says.
void apply_preset(CLI::App& app, const Options& options);

/// Why an option means nothing beside the others; empty if it does mean something.
[[nodiscard]] std::string_view why_without_effect(std::string_view name, const Options& options);

/// Throws OptionError if an option that was given is out of range or without effect, if one is missing, or if nothing
/// would be kept; FileError if a file cannot be written, or is one that this training must not replace.
void check_options(const CLI::App& app, const Options& options);

}  // namespace train_dino
