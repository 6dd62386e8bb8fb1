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
  begin_group(app, "What is classified, and by what");
  app.add_option("--weights", options.weights, "classifier: safetensors or PyTorch file")
      ->required()
      ->type_name("FILE");
  app.add_option("pictures", options.pictures,
                 "PNG or JPEG files, or folders: of pictures, or of a folder of them for each class")
      ->type_name("FILE...");
  app.add_option("--data", options.data,
                 "data set whose test images are to be classified, as train_classifier takes it")
      ->type_name("FOLDER");
  begin_group(app, "The model, where its file does not tell");
  model_options.add_sizes(app);
  begin_group(app, "What the model expects of pictures");
  model_options.add_input(app);
  begin_group(app, "Run");
  app.add_option("--top", options.top, "how many classes to show [5]")->check(CLI::Range(Index{1}, Index{1000000}));
  app.add_option("--batch", options.batch, "how many pictures at a time")->check(CLI::Range(Index{1}, Index{1000000}));
  program_options::add_threads(app, options.threads);
}

}  // namespace classify
