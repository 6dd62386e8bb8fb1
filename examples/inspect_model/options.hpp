// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "crate/analysis/layer_metrics.hpp"
#include "crate/io/families/load_options.hpp"
#include "inspect_model/show_options.hpp"
#include "load_options.hpp"
#include "program_options/program_options.hpp"

namespace inspect_model {

using crate::Index;

struct Options {
  std::string weights, input, data, split = "test", output;
  Index examples = 256, batch = 16;
  int threads = 1;
  crate::LayerMeterOptions meter;
  ShowOptions show;
  crate::LoadOptions model;

  /// Fills the options.
  /// Returns the exit status if there is nothing to run: --help or a mistake, which is then reported.
  std::optional<int> parse(int count, char** arguments) {
    CLI::App app(
        "Looks into a model: what every half-layer does to the coding rates and the sparsity of tokens, how its steps\n"
        "compare with exact ones, how its subspaces and dictionaries lie. Prints a summary; writes tables as CSV.\n");
    program_options::set_up(app, "inspect_model");
    examples::LoadOptionsParser model_options;
    program_options::begin_group(app, "What is inspected, and on what");
    app.add_option("--weights", weights, "safetensors or PyTorch file")->required()->type_name("FILE");
    auto* const of_input = app.add_option(
        "--input", input, "safetensors with `images` [B, C, H, W], or with `tokens` [B, N], as run_model takes it");
    of_input->type_name("FILE");
    app.add_option("--data", data, "data set of images, as train_classifier takes it")
        ->type_name("FOLDER")
        ->excludes(of_input);
    program_options::add_choice(app, "--split", split, {"training", "test"},
                                "which images of --data: training or test");
    app.add_option("--examples", examples,
                   "how many images or texts at most: the first, of folders of pictures the first of each class")
        ->check(CLI::Range(Index{1}, Index{1} << 40));
    app.add_option("--batch", batch, "how many at a time")->check(CLI::Range(Index{1}, Index{1} << 20));
    app.add_option("--output", output, "folder in which the tables are written as CSV [none are]")->type_name("FOLDER");
    program_options::begin_group(app, "What is measured");
    app.add_option("--epsilon", meter.epsilon, "precision of the paper's rates");
    app.add_option("--lambda", meter.lambda, "weight of the number of non-zero entries in the objective");
    show.add_to(app);
    program_options::begin_group(app, "The model, where its file does not tell");
    model_options.add_sizes(app);
    program_options::begin_group(app, "Run");
    program_options::add_threads(app, threads);
    if (const auto ended = program_options::parse(app, count, arguments)) return ended;
    program_options::check_effects(app, [&](std::string_view option) {
      return option == "--split" && data.empty() ? std::string_view("there is no --data") : "";
    });
    if (input.empty() && data.empty() && show.pictures.empty())
      throw crate::OptionError(
          "options: expected --input or --data or --picture to say on what the model is inspected, found none");
    show.finish(app, !output.empty(), !input.empty() || !data.empty());
    meter.check();
    model = model_options.parsed();
    return std::nullopt;
  }
};

}  // namespace inspect_model
