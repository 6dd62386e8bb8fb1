// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "crate/inference/generate.hpp"
#include "crate/io/families/load_options.hpp"
#include "load_options.hpp"
#include "text_program/tokeniser_options.hpp"

namespace generate {

/// What the command line says.
struct Options {
  std::string weights;
  text_program::TokeniserOptions tokeniser;
  std::vector<std::string> prompts, prompt_files, stop;
  crate::GenerationOptions generation;
  std::optional<crate::Index> tokens;  ///< empty: as many as fit, up to those of `generation`
  std::string precision = "f32";       ///< of the weights: f32 or bf16
  bool keeps_end = false;
  int threads = 1;
  crate::LoadOptions model;
};

void add_options(CLI::App& app, Options& options, examples::LoadOptionsParser& model_options);

/// Throws OptionError if there is no prompt.
void check_options(const Options& options);

}  // namespace generate
