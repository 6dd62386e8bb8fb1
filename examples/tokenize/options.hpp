// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "crate/core/matrix.hpp"
#include "crate/text/read_tokeniser.hpp"

namespace tokenize {

/// What the command line says.
struct Options {
  crate::TokeniserKind kind = crate::TokeniserKind::bytes;
  std::string vocabulary, input, output;
  std::optional<crate::Index> train;
  bool decode = false, special = false, sentence = false;

  /// Fills the options. Returns the exit status if there is nothing to run: --help, or a mistake, which is reported.
  /// Throws OptionError on options that contradict each other or would have no effect.
  std::optional<int> parse(int count, char** arguments);

  /// Whether the vocabulary is made of the input, and not read.
  [[nodiscard]] bool learns() const { return !output.empty(); }
};

}  // namespace tokenize
