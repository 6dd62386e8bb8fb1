// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crate/analysis/layer_metrics.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "inspect_model/show_options.hpp"
#include "load_options.hpp"
#include "output_file.hpp"
#include "program_options/program_options.hpp"

namespace inspect_model {

using crate::Index;

/// The second model that is the first before its training.
inline constexpr std::string_view untrained = "untrained";

struct Options {
  std::string weights, input, text, data, split = "test", output, page, figure, against;
  Index examples = 256, batch = 16;
  int threads = 1;
  crate::LayerMeterOptions meter;
  ShowOptions show;
  crate::LoadOptions model;
  std::optional<Index> against_heads = {};
  std::string against_weights_at;

  /// The parts of --data on which is measured.
  [[nodiscard]] std::vector<std::string> splits() const {
    return split == "both" ? std::vector<std::string>{"training", "test"} : std::vector<std::string>{split};
  }

  /// Whether the second model is that of a file.
  [[nodiscard]] bool has_second_file() const { return !against.empty() && against != untrained; }

  /// The same for the second model.
  [[nodiscard]] Options of_second() const {
    Options second = *this;
    second.weights = against;
    if (against_heads) second.model.heads = against_heads;
    second.model.weights_at.reset();
    if (!against_weights_at.empty()) second.model.weights_at = against_weights_at;
    return second;
  }

  /// Fills the options.
  /// Returns the exit status if there is nothing to run: --help or a mistake, which is then reported.
  std::optional<int> parse(int count, char** arguments) {
    CLI::App app(
        "Looks into a model: what every half-layer does to the coding rates and the sparsity of tokens, how its steps\n"
        "compare with exact ones, how its subspaces and dictionaries lie; alone or beside another model. Prints a\n"
        "summary; writes a page of plots, and the numbers behind them as CSV.\n");
    program_options::set_up(app, "inspect_model");
    examples::LoadOptionsParser model_options;
    add_models_and_data(app);
    add_written(app);
    program_options::begin_group(app, "What is measured");
    app.add_option("--epsilon", meter.epsilon, "precision of the paper's rates");
    app.add_option("--lambda", meter.lambda, "weight of the number of non-zero entries in the objective");
    show.add_to(app);
    program_options::begin_group(app, "The model, where its file does not tell");
    model_options.add_sizes(app);
    program_options::begin_group(app, "Run");
    program_options::add_threads(app, threads);
    if (const auto ended = program_options::parse(app, count, arguments)) return ended;
    model = model_options.parsed();
    check(app);
    return std::nullopt;
  }

 private:
  void add_models_and_data(CLI::App& app) {
    program_options::begin_group(app, "What is inspected, and on what");
    app.add_option("--weights", weights, "safetensors or PyTorch file")->required()->type_name("FILE");
    auto* const of_input = app.add_option(
        "--input", input, "safetensors with `images` [B, C, H, W], or with `tokens` [B, N], as run_model takes it");
    of_input->type_name("FILE");
    auto* const of_text = app.add_option(
        "--text", text,
        "text for a model of texts, which all is read: its first --examples pieces, as long as the context");
    of_text->type_name("FILE")->excludes(of_input);
    app.add_option("--data", data, "data set of images, as train_classifier takes it")
        ->type_name("FOLDER")
        ->excludes(of_input)
        ->excludes(of_text);
    program_options::add_choice(app, "--split", split, {"training", "test", "both"},
                                "which images of --data: training, test or both, side by side");
    app.add_option("--examples", examples,
                   "how many images or texts at most: the first, of folders of pictures the first of each class")
        ->check(CLI::Range(Index{1}, Index{1} << 40));
    app.add_option("--batch", batch, "how many at a time")->check(CLI::Range(Index{1}, Index{1} << 20));
    add_second_model(app);
  }

  void add_written(CLI::App& app) {
    program_options::begin_group(app, "What is written");
    app.add_option("--page", page, "HTML file with all plots and tables, for any browser [none]")->type_name("FILE");
    app.add_option("--figure", figure,
                   "SVG file with the figure of the paper: R^c and non-zero entries over the depth [none]")
        ->type_name("FILE");
    app.add_option("--output", output,
                   "folder in which the tables are written as CSV, pictures of a second model "
                   "in its folder `against` [none are]")
        ->type_name("FOLDER");
  }

  /// Throws OptionError or FileError where the options do not go together, and completes those that do.
  void check(const CLI::App& app) {
    program_options::check_effects(app, [&](std::string_view option) {
      if (option == "--split" && data.empty()) return std::string_view("there is no --data");
      const bool is_of_second = option == "--against-heads" || option == "--against-weights-at";
      if (is_of_second && against.empty()) return std::string_view("there is no --against");
      if (is_of_second && against == untrained)
        return std::string_view("--against untrained is of the shape of --weights");
      return std::string_view();
    });
    const bool has_inputs = !input.empty() || !text.empty() || !data.empty();
    if (!has_inputs && show.pictures.empty())
      throw crate::OptionError(
          "options: expected --input, --text, --data or --picture to say on what the model is inspected, found none");
    show.finish(app, !output.empty() || !page.empty(), has_inputs);
    meter.check();
    for (const std::string& file : {page, figure})
      if (!file.empty()) check_written(file);
    if (!output.empty()) check_pictures_kept();
  }

  void add_second_model(CLI::App& app) {
    app.add_option("--against", against,
                   "second model, in the same plots: a file of weights, or `untrained`, the first one before its "
                   "training; --tokeniser and --vocabulary hold for both [none]")
        ->type_name("FILE");
    app.add_option("--against-heads", against_heads, "number of heads of the second model [as of the first]");
    app.add_option("--against-weights-at", against_weights_at,
                   "of the second model what --weights-at is of the first [the only one]")
        ->type_name("NAME");
  }

  /// Throws FileError if a picture or mask could be replaced by one that is written into the folder.
  void check_pictures_kept() const {
    for (const auto* const files : {&show.pictures, &show.masks})
      for (const std::string& file : *files) {
        const std::string name = std::filesystem::path(file).filename().string();
        const bool is_written =
            name == "components.png" || name == "segments.png" || name == "units.png" || name.starts_with("attention-");
        const std::filesystem::path folder(output);
        if (is_written && (examples::same_file((folder / name).string(), file) ||
                           examples::same_file((folder / "against" / name).string(), file)))
          throw crate::file_error(file, "expected a picture that --output does not replace, found one in its folder");
      }
  }

  [[nodiscard]] static bool begins_with(const std::string& file, std::string_view text) {
    std::string bytes(text.size(), '\0');
    std::ifstream(file, std::ios::binary).read(bytes.data(), std::ssize(bytes));
    return bytes == text;
  }

  /// Before anything is computed. Throws FileError if the file cannot be written, is one that is read, or holds
  /// something else than this program writes there.
  void check_written(const std::string& file) const {
    crate::check_replaceable(file);
    std::vector<std::string> all_read = {weights, input, text, against};
    for (const auto* const files : {&show.pictures, &show.masks})
      all_read.insert(all_read.end(), files->begin(), files->end());
    for (const std::string& read : all_read)
      if (!read.empty() && examples::same_file(file, read))
        throw crate::file_error(file, "would be replaced, but is read by the program; choose another name for the output");
    const bool is_page = file == page;
    if (crate::path_exists(file) && !begins_with(file, is_page ? "<!DOCTYPE html" : "<svg"))
      throw crate::file_error(file, is_page ? "--page" : "--figure", " would replace a file that is not ",
                              is_page ? "a page of HTML" : "an SVG figure", "; choose another name");
    if (!page.empty() && !figure.empty() && examples::same_file(page, figure))
      throw crate::file_error(file, "expected different files for --page and --figure, found the same");
  }
};

}  // namespace inspect_model
