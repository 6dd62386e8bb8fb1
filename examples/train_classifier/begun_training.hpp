// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <optional>

#include "crate/io/load_model.hpp"
#include "crate/training/checkpoint.hpp"
#include "train_classifier/options.hpp"

// A training that goes on with the options that it was begun with.

namespace train_classifier {

/// What a checkpoint says of the training in it.
struct BegunTraining {
  crate::Metadata notes;  ///< the options that it was begun with
  std::optional<crate::AnyModel<float, crate::ImageFamilies>>
      model;  ///< with all sizes and settings; checkpoints of older versions have none
};

/// The training to go on with, if that is wanted and there is one. Throws FileError if the checkpoint cannot be read.
[[nodiscard]] std::optional<BegunTraining> read_begun_training(const Options& options);

/// Gives the options that were not given the texts that they had when the training was begun.
/// Throws OptionError, with both, where one that was given contradicts that.
void complete_options(CLI::App& app, const crate::Metadata& begun_with);

/// The options, given or not, as texts by name: those that a training is begun with, for its checkpoint.
[[nodiscard]] crate::Metadata describe_options(const CLI::App& app, const Options& options);

}  // namespace train_classifier
