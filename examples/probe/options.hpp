// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/probing/nearest_neighbours.hpp"
#include "load_options.hpp"
#include "program_options/program_options.hpp"

namespace probe {

using crate::Index;

/// What the command line says.
struct Options {
  std::string weights, data, from_features;
  bool strict = false;
  crate::LoadOptions model;

  Index layer = 0;
  std::string token;  ///< empty for what the model's own head reads
  bool no_norm = false;

  Index neighbours = 0;  ///< 0 for 20, or all examples to learn from if these are fewer
  double temperature = crate::NearestNeighbourOptions{}.temperature;
  bool alone = false, confusion = false;
  std::string features;

  Index batch = 16;
  std::uint64_t seed = 0;
  int threads = 1;
};

void add_options(CLI::App& app, Options& options, examples::LoadOptionsParser& model_options);

/// Throws OptionError unless there are weights and data, or features, and every option given means something; FileError
/// if --features cannot be written.
void check_options(const CLI::App& app, const Options& options);

/// How neighbours vote among so many examples to learn from.
[[nodiscard]] crate::NearestNeighbourOptions neighbours_among(const Options& options, Index examples);

}  // namespace probe
