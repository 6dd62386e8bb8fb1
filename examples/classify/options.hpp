// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "crate/io/families/load_options.hpp"
#include "load_options.hpp"
#include "program_options/program_options.hpp"

namespace classify {

using crate::Index;

/// What the command line says.
struct Options {
  std::string weights, data;
  std::vector<std::string> pictures;
  std::optional<Index> top;
  Index batch = 8;
  int threads = 1;
  crate::LoadOptions model;
};

inline void add_options(CLI::App& app, Options& options, examples::LoadOptionsParser& model_options) {
  using program_options::begin_group;
  begin_group(app, "Input");
  app.add_option("--weights", options.weights, "classifier: safetensors or PyTorch file")
      ->required()
      ->type_name("FILE");
  app.add_option("pictures", options.pictures,
                 "PNG or JPEG files, folders of pictures, or folders that contain one folder per class")
      ->type_name("FILE...");
  app.add_option("--data", options.data, "classify the test images of this data set (see train_classifier --help)")
      ->type_name("FOLDER");
  begin_group(app, "Model, where the file does not determine it");
  model_options.add_sizes(app);
  begin_group(app, "Preparation of pictures");
  model_options.add_input(app);
  begin_group(app, "Run");
  app.add_option("--top", options.top, "number of classes to print for each picture [5]")
      ->check(CLI::Range(Index{1}, Index{1000000}));
  app.add_option("--batch", options.batch, "pictures per batch")->check(CLI::Range(Index{1}, Index{1000000}));
  program_options::add_threads(app, options.threads);
}

}  // namespace classify
