// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "crate/core/matrix.hpp"
#include "crate/text/read_tokeniser.hpp"

namespace tokenize {

/// What the command line says.
struct Options {
  crate::TokeniserKind kind = crate::TokeniserKind::bytes;
  std::string kind_name, vocabulary, input, output;  // kind_name: empty where the other options determine the kind
  std::optional<crate::Index> train;
  bool decode = false, special = false, sentence = false;

  /// Whether the vocabulary is made of the input, and not read.
  [[nodiscard]] bool learns() const { return !output.empty(); }
};

void add_options(CLI::App& app, Options& options);

/// Finds the kind of the tokeniser. Throws OptionError on options that contradict each other or would have no effect.
void complete_options(Options& options);

}  // namespace tokenize
