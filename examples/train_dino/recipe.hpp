// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

#include "crate/augmentation/view_presets.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/training/recipe.hpp"
#include "crate/training/schedule.hpp"
#include "crate/training/self_distillation.hpp"
#include "crate/training/trainer.hpp"
#include "train_dino/training_setup.hpp"
#include "training_program/options.hpp"

// What the options mean for the images at hand: patches, views, objective, schedules.

namespace train_dino {

/// --local-side, or whole patches that come nearest to half of an image. Throws OptionError unless patches fill it.
[[nodiscard]] inline Index local_side(const Options& o, const crate::ImageDataSet& images,
                                      const crate::PatchGrid& grid) {
  const Index patches = std::lcm(grid.height, grid.width);
  if (o.local_side == 0) return std::max<Index>(1, (images.height + patches) / (2 * patches)) * patches;
  if (o.local_side % patches != 0)
    throw crate::OptionError(crate::concatenate("option --local-side: expected a multiple of ", patches,
                                                ", which patches of ", grid.height, " x ", grid.width, " fill; found ",
                                                o.local_side));
  return o.local_side;
}

[[nodiscard]] inline bool is_published(const Options& o) { return o.preset == "published"; }

/// The patches that are asked for, or the largest of a few that cut an image into at least 16: where the features are
/// means over few tokens that each see much, they tell more, and more views are seen in the same time.
[[nodiscard]] inline std::string patch_of(const Options& o, const crate::ImageDataSet& images) {
  if (!o.patch.empty()) return o.patch;
  for (const Index side : {16, 8, 7, 4})
    if (images.height % side == 0 && images.width % side == 0 && images.height * images.width >= 16 * side * side)
      return crate::concatenate(side, "x", side);
  return "";
}

[[nodiscard]] inline std::vector<crate::ImageAugmentation> views_of(const TrainingSetup& setup, Index side_of_locals) {
  const Options& o = setup.options;
  const crate::ImageDataSet& images = setup.data.training;
  crate::MultiCrop crop = is_published(o)        ? crate::MultiCrop{}
                          : images.channels == 1 ? crate::small_grey_multi_crop()
                                                 : crate::small_multi_crop();
  crop.global_side = images.height;
  crop.local_side = side_of_locals;
  crop.locals = o.locals;
  crop.flip = !o.no_flip;
  std::vector<crate::ImageAugmentation> views = multi_crop_views(crop);
  for (std::size_t v = 0; v < 2; ++v) views[v].crop->width = images.width;
  return views;
}

[[nodiscard]] inline crate::SelfDistillationRule rule_of(const TrainingSetup& setup) {
  const Options& o = setup.options;
  if (setup.is_dino())
    return crate::DinoTrainingOptions{.student_temperature = o.student_temperature,
                                      .first_teacher_temperature = o.first_teacher_temperature,
                                      .teacher_temperature = o.teacher_temperature,
                                      .temperature_steps = setup.steps(o.temperature_epochs),
                                      .centre_momentum = o.centre_momentum};
  return crate::CodingRateDistillationOptions{.squared_epsilon = o.squared_epsilon,
                                              .comparison_weight = o.comparison,
                                              .expansion_of = o.expansion_of == "student"
                                                                  ? crate::ExpansionOf::student
                                                                  : crate::ExpansionOf::student_and_teacher};
}

[[nodiscard]] inline crate::TrainerOptions trainer_options(const TrainingSetup& setup) {
  const Options& o = setup.options;
  training_program::Options training = o.training;
  training.final_rate = o.final_rate();
  crate::TrainerOptions options = training_program::trainer_options(
      training, training_program::schedule_in_epochs(training, setup.data.training.size()), setup.described_options);
  options.clip_each = true;
  if (o.training.weight_decay > 0)
    options.decay_factor = crate::CosineRamp{1, o.final_weight_decay / o.training.weight_decay};
  options.average_decay = crate::CosineRamp{o.teacher_momentum, 1};
  if (setup.is_dino() && o.frozen_epochs > 0) {
    options.frozen_part = "projection.outputs";
    options.frozen_epochs = o.frozen_epochs;
  }
  return options;
}

/// What a checkpoint must agree in beside the trainer's own options.
[[nodiscard]] inline crate::Recipe recipe_of(const TrainingSetup& setup, Index side_of_locals) {
  using crate::detail::exact_text;
  const Options& o = setup.options;
  crate::Recipe recipe;
  describe(recipe, training_program::optimiser_options(o.training));
  describe(recipe, rule_of(setup));
  recipe.insert(recipe.end(), {{"local views", exact_text(o.locals)},
                               {"side of local views", exact_text(side_of_locals)},
                               {"flip", exact_text(!o.no_flip)},
                               {"views", is_published(o) ? "published" : "small"},
                               {"drop-path", exact_text(o.drop_path)}});
  return recipe;
}

}  // namespace train_dino
