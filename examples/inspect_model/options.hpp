// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "crate/analysis/layer_metrics.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "inspect_model/show_options.hpp"
#include "inspect_model/toy.hpp"
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
  ToyOptions toy;
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

  void add_to(CLI::App& app, examples::LoadOptionsParser& of_model) {
    add_models_and_data(app);
    add_written(app);
    program_options::begin_group(app, "Measurement");
    app.add_option("--epsilon", meter.epsilon, "precision of the paper's rates");
    app.add_option("--lambda", meter.lambda, "weight of the number of non-zero entries in the objective");
    show.add_to(app);
    add_toy(app);
    program_options::begin_group(app, "Model, where the file does not determine it");
    of_model.add_sizes(app);
    program_options::begin_group(app, "Run");
    program_options::add_threads(app, threads);
  }

  /// Throws OptionError or FileError where the options that were read do not go together, and completes those that do.
  void finish(const CLI::App& app, const examples::LoadOptionsParser& of_model) {
    model = of_model.parsed();
    if (toy.is_shown)
      check_toy(app);
    else
      check_model(app);
  }

 private:
  void add_models_and_data(CLI::App& app) {
    program_options::begin_group(app, "Input");
    app.add_option("--weights", weights, "safetensors or PyTorch file (required, unless --toy is given)")
        ->type_name("FILE");
    auto* const of_input =
        app.add_option("--input", input,
                       "safetensors file with `images` [B, C, H, W], or with `tokens` [B, N] (see run_model --help)");
    of_input->type_name("FILE");
    auto* const of_text = app.add_option(
        "--text", text, "text file, for language models; its first --examples pieces of the context's length are used");
    of_text->type_name("FILE")->excludes(of_input);
    app.add_option("--data", data, "data set of images (see train_classifier --help)")
        ->type_name("FOLDER")
        ->excludes(of_input)
        ->excludes(of_text);
    program_options::add_choice(app, "--split", split, {"training", "test", "both"},
                                "which images of --data: training, test, or both (side by side)");
    app.add_option(
           "--examples", examples,
           "maximum number of images or texts: the first ones (for folders of pictures, the first of each class)")
        ->check(CLI::Range(Index{1}, Index{1} << 40));
    app.add_option("--batch", batch, "images or texts per batch")->check(CLI::Range(Index{1}, Index{1} << 20));
    add_second_model(app);
  }

  void add_written(CLI::App& app) {
    program_options::begin_group(app, "Output");
    app.add_option("--page", page, "HTML file with all plots and tables, for any browser [none]")->type_name("FILE");
    app.add_option("--figure", figure,
                   "SVG file with the figure of the paper: R^c and non-zero entries over the depth [none]")
        ->type_name("FILE");
    app.add_option("--output", output,
                   "folder for the tables (CSV) and pictures; those of the second model go to its subfolder `against` "
                   "[none]")
        ->type_name("FOLDER");
  }

  void add_toy(CLI::App& app) {
    program_options::begin_group(app, "Instead of a model");
    app.add_flag(
        "--toy", toy.is_shown,
        "draw tokens near subspaces that are known, and show what repeated steps make of their ratio of signal "
        "to noise");
    app.add_option("--toy-noise", toy.noise, "standard deviation of the noise; that of the signal is 1")
        ->check(CLI::Range(1e-6, 1e6));
    app.add_option("--toy-steps", toy.steps, "number of steps, at most 40: tokens grow with each")
        ->check(CLI::Range(Index{1}, Index{40}));
  }

  /// Throws OptionError or FileError where the options do not go together.
  void check_toy(const CLI::App& app) const {
    const std::set<std::string_view> of_toy = {"--toy",  "--toy-noise", "--toy-steps",
                                               "--page", "--output",    "--epsilon"};
    program_options::check_effects(app, [&](std::string_view option) {
      return of_toy.contains(option) ? std::string_view() : std::string_view("--toy is given, which has no model");
    });
    meter.check();
    check_outputs();
  }

  /// Throws OptionError or FileError where the options do not go together, and completes those that do.
  void check_model(const CLI::App& app) {
    program_options::check_effects(app, [&](std::string_view option) {
      if (option.starts_with("--toy-")) return std::string_view("--toy is not given");
      if (option == "--split" && data.empty()) return std::string_view("--data is not given");
      const bool is_of_second = option == "--against-heads" || option == "--against-weights-at";
      if (is_of_second && against.empty()) return std::string_view("--against is not given");
      if (is_of_second && against == untrained)
        return std::string_view("--against untrained has the shape of --weights");
      return std::string_view();
    });
    if (weights.empty()) throw crate::OptionError("options --weights and --toy: expected one of them, found none");
    const bool has_inputs = !input.empty() || !text.empty() || !data.empty();
    if (!has_inputs && show.pictures.empty())
      throw crate::OptionError("options --input, --text, --data and --picture: expected one of them, found none");
    show.finish(app, !output.empty() || !page.empty(), has_inputs);
    meter.check();
    check_outputs();
  }

  /// Before anything is computed. Throws FileError if something cannot be written, or would replace what it should not.
  void check_outputs() const {
    for (const std::string& file : {page, figure})
      if (!file.empty()) check_written(file);
    if (output.empty()) return;
    check_folder();
    check_pictures_kept();
  }

  void add_second_model(CLI::App& app) {
    app.add_option("--against", against,
                   "second model, in the same plots: a file of weights, or `untrained` for the first model with random "
                   "weights; --tokeniser and --vocabulary apply to both [none]")
        ->type_name("FILE");
    app.add_option("--against-heads", against_heads,
                   "number of attention heads of the second model [as for the first]");
    app.add_option("--against-weights-at", against_weights_at,
                   "like --weights-at, for the second model [the only ones]")
        ->type_name("NAME");
  }

  /// Before anything is computed. Throws FileError if the folder for the tables cannot be made or written into.
  void check_folder() const {
    std::filesystem::path folder = std::filesystem::absolute(output).lexically_normal();
    std::error_code error;
    while (!std::filesystem::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
    if (!std::filesystem::is_directory(folder, error))
      throw crate::file_error(output,
                              "cannot be written: expected a folder, found a file: ", crate::quote(folder.string()));
    try {
      crate::check_replaceable(folder / "summary.csv");
    } catch (const crate::FileError&) {
      throw crate::file_error(output, "cannot be written: no files can be made in ", crate::quote(folder.string()));
    }
  }

  /// Throws FileError if a picture or mask could be replaced by one that is written into the folder.
  void check_pictures_kept() const {
    for (const auto* const files : {&show.pictures, &show.masks})
      for (const std::string& file : *files) {
        const std::string name = std::filesystem::path(file).filename().string();
        const bool is_written = name == "components.png" || name == "segments.png" || name == "units.png" ||
                                name.starts_with("attention-") || name.starts_with("claims-");
        const std::filesystem::path folder(output);
        if (is_written && (examples::same_file((folder / name).string(), file) ||
                           examples::same_file((folder / "against" / name).string(), file)))
          throw crate::file_error(file, "--output would replace this picture; choose another folder");
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
        throw crate::file_error(file,
                                "would be replaced, but is read by the program; choose another name for the output");
    const bool is_page = file == page;
    if (crate::path_exists(file) && !begins_with(file, is_page ? "<!DOCTYPE html" : "<svg"))
      throw crate::file_error(file, is_page ? "--page" : "--figure", " would replace a file that is not ",
                              is_page ? "a page of HTML" : "an SVG figure", "; choose another name");
    if (!page.empty() && !figure.empty() && examples::same_file(page, figure))
      throw crate::file_error(file, "expected different files for --page and --figure, found the same");
  }
};

}  // namespace inspect_model
