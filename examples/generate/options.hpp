// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crate/inference/generate.hpp"
#include "crate/io/families/load_options.hpp"
#include "text_program/tokeniser_options.hpp"

namespace generate {

/// What the command line says.
struct Options {
  std::string weights;
  text_program::TokeniserOptions tokeniser;
  std::vector<std::string> prompts, prompt_files, stop;
  crate::GenerationOptions generation;
  std::optional<crate::Index> tokens;  ///< empty: as many as fit, up to those of `generation`
  bool bfloat16 = false, keeps_end = false;
  int threads = 1;
  crate::LoadOptions model;

  /// Returns the exit status if there is nothing else to do.
  std::optional<int> parse(int count, char** arguments);
};

}  // namespace generate
