// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "crate/io/families/load_options.hpp"
#include "load_options.hpp"
#include "program_options/program_options.hpp"

namespace run_model {

using crate::Index;

struct Options {
  std::string weights, input, output;
  bool layers = false, gradients = false;
  Index greedy = 0;  // tokens
  double label_smoothing = 0;
  int threads = 1;
  crate::LoadOptions model;

  /// What the command line and the images say of the model. Throws OptionError where they contradict each other.
  [[nodiscard]] crate::LoadOptions for_images(Index height, Index width, Index channels) const {
    const auto agree = [](const char* what, std::optional<Index> given, Index found) {
      if (given && *given != found)
        throw crate::OptionError(
            crate::concatenate(what, ": expected ", *given, ", as the options say, found ", found, " in the input"));
      return found;
    };
    crate::LoadOptions options = model;
    options.image_height = agree("image height", model.image_height, height);
    options.image_width = agree("image width", model.image_width, width);
    options.channels = agree("channels", model.channels, channels);
    return options;
  }
};

inline void add_options(CLI::App& app, Options& options, examples::LoadOptionsParser& model_options) {
  program_options::begin_group(app, "Files");
  app.add_option("--weights", options.weights, "safetensors or PyTorch file")->required()->type_name("FILE");
  app.add_option(
         "--input", options.input,
         "safetensors file with `images` [B, C, H, W] (for a masked autoencoder optionally `noise` [B, patches]; "
         "without it nothing is masked), or with integer `tokens` [B, N] (for CRATE-BERT optionally "
         "`attention_mask`, ones followed by zeros for padding, and `token_types`)")
      ->required()
      ->type_name("FILE");
  app.add_option("--output", options.output, "safetensors file to write")->required()->type_name("FILE");
  program_options::begin_group(app, "Model, where the file does not determine it");
  model_options.add_sizes(app);
  model_options.add_settings(app);
  program_options::begin_group(app, "Run");
  app.add_flag(
      "--layers", options.layers,
      "also write the embedded tokens, every half-step and, for CRATE models, coding rates and fractions of zeros");
  app.add_flag(
      "--gradients", options.gradients,
      "also write `loss` and its gradient, `grad/...` under the published names. The input must then contain: for "
      "classifiers `labels` [B] (-1: ignore), for masked autoencoders `noise`, for causal language models `targets` "
      "[B, N], for masked ones `labels` [B, N] (-1 or -100: ignore)");
  app.add_option("--greedy", options.greedy,
                 "continue `greedy/prompt` [B, n] by N most probable tokens, and write `greedy/tokens` and "
                 "`greedy/logits`. If the text is longer than the context, only its last tokens are read")
      ->check(CLI::Range(Index{1}, Index{1} << 24))
      ->type_name("N");
  app.add_option("--label-smoothing", options.label_smoothing, "label smoothing of a classifier's loss, from 0 to 1")
      ->check(CLI::Range(0.0, 1.0));
  program_options::add_threads(app, options.threads);
}

/// Throws OptionError on an option without effect.
inline void check_options(const CLI::App& app, const Options& options) {
  program_options::check_effects(app, [&](std::string_view option) {
    return option == "--label-smoothing" && !options.gradients ? std::string_view("--gradients is not given") : "";
  });
}

}  // namespace run_model
