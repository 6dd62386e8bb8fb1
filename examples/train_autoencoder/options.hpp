// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <tuple>

#include "crate/io/families/crate_masked_autoencoder.hpp"
#include "crate/io/families/transformer_masked_autoencoder.hpp"
#include "image_program/options.hpp"
#include "training_program/options.hpp"

namespace train_autoencoder {

using crate::Index;

using Families = std::tuple<crate::CrateMaskedAutoencoderFamily, crate::TransformerMaskedAutoencoderFamily>;

/// What the command line says. Where nothing is said, the recipe is one for small images.
struct Options {
  std::string preset = "small-images";
  image_program::DataOptions images = {.may_lack_test = true};

  // the model
  std::string family = "crate-mae", patch;
  Index dim = 128, depth = 4, heads = 4, head_dim = 0, decoder_depth = 2;
  double step = 0.1, lambda = 0.1, mask_ratio = 0.75;
  bool normalise_patches = false;

  // the recipe and the files
  training_program::Options training = {.rate = 1.5e-3,
                                        .beta2 = 0.95,
                                        .warm_up_epochs = 0.5,
                                        .trainer = {.epochs = 6, .batch = 64, .cut = {.micro_batch = 16}}};
  std::string grid;  // empty: beside the weights
};

void add_options(CLI::App& app, Options& options);

/// Gives the options that were not given what the preset says.
void apply_preset(CLI::App& app, const Options& options);

/// Why an option means nothing beside the others; empty if it does mean something.
[[nodiscard]] std::string_view why_without_effect(std::string_view name, const Options& options);

/// Throws OptionError if an option that was given is out of range or without effect, if one is missing, or if nothing
/// would be kept; FileError if a file cannot be written, or is one that this training must not replace. Names the
/// picture where nobody did.
void check_options(const CLI::App& app, Options& options);

[[nodiscard]] training_program::ContinuedOptions continued_options();

}  // namespace train_autoencoder
