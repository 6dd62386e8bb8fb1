// SPDX-License-Identifier: MIT
#include "compress_tokens/options.hpp"

#include <CLI/CLI.hpp>
#include <string_view>

#include "program_options/program_options.hpp"

namespace compress_tokens {

namespace {

constexpr const char* description =
    "Compresses a set of tokens with a white-box transformer and decodes it again.\n\n"
    "Without --input, draws tokens from Gaussians on random subspaces, with noise. Otherwise reads tokens\n"
    "or a photograph, whose patches become tokens. Tables and pictures say what each layer does to them.\n";

/// Of what is counted: products of two stay far from overflow.
constexpr Index most = 1'000'000'000;

using program_options::add_choice;
using program_options::begin_group;

void add_file_options(CLI::App& app, Options& options) {
  begin_group(app, "Tokens from a file");
  app.add_option("--input,input", options.input,
                 "tokens: .csv (a line a token), .npy ([tokens, width]), .safetensors; or a photograph: .png, .jpg")
      ->type_name("FILE");
  app.add_option("--tensor", options.tensor,
                 "safetensors: which matrix [tokens, width] [the one named tokens, or the only one]")
      ->type_name("NAME");
  const program_options::Choices<crate::CsvPart> parts = {
      {"auto", crate::CsvPart::automatic}, {"yes", crate::CsvPart::present}, {"no", crate::CsvPart::absent}};
  app.add_option("--labels", options.csv.labels, "CSV: the column of labels, by its name, or counted from 1 [none]")
      ->type_name("COLUMN");
  app.add_option("--columns", options.csv.columns,
                 "CSV: the columns that are coordinates, separated by commas, named likewise [all others]")
      ->delimiter(',')
      ->type_name("COLUMNS");
  add_choice(app, "--header", options.csv.header, parts,
             "CSV: whether the first line names the columns: yes, no, or auto, if it evidently does")
      ->type_name("ANSWER");
  add_choice(app, "--index", options.csv.index, parts,
             "CSV: whether the first column numbers or names the lines: yes, no, or auto, if it evidently does")
      ->type_name("ANSWER");
  app.add_option("--patch", options.patch, "photograph: side of the square patches, in pixels, up to 64")
      ->check(CLI::Range(1, 64));
}

void add_toy_options(CLI::App& app, Options& options) {
  begin_group(app, "Tokens that are drawn");
  app.add_option("--width", options.toy.width, "dimension d of the tokens")->check(CLI::Range(Index{1}, most));
  app.add_option("--tokens", options.toy.tokens, "number N of tokens")->check(CLI::Range(Index{1}, most));
  app.add_option("--noise", options.toy.noise,
                 "standard deviation of the noise in each coordinate; the signal's is 1 in each of its p");
  app.add_flag("--estimate", options.estimate, "use subspaces estimated from the tokens instead of the true ones");
}

void add_model_options(CLI::App& app, Options& options) {
  const program_options::Choices<crate::CompressionStep> steps = {{"exact", crate::CompressionStep::exact},
                                                                  {"first-order", crate::CompressionStep::first_order},
                                                                  {"softmax", crate::CompressionStep::softmax}};
  const program_options::Choices<DictionarySource> sources = {{"auto", DictionarySource::automatic},
                                                              {"subspaces", DictionarySource::subspaces},
                                                              {"tokens", DictionarySource::tokens}};
  begin_group(app, "Layers");
  app.add_option("--subspaces", options.subspaces, "number K of subspaces [8]")->check(CLI::Range(Index{1}, most));
  app.add_option("--dim", options.dim, "dimension p of each subspace [4; photograph: 12]")
      ->check(CLI::Range(Index{1}, most));
  add_choice(app, "--dictionary", options.dictionary, sources,
             "made of the subspaces, or estimated from the tokens; auto: of the subspaces if they share no direction");
  add_choice(app, "--step", options.step, steps,
             "compression: by the exact gradient of R^c, to its first-order, or by the softmax of attention");
  app.add_option("--depth", options.depth, "number L of layers, up to 1000")->check(CLI::Range(1, 1000));
  app.add_option("--epsilon", options.epsilon,
                 "precision of the code: root mean square error of a token [noise of a token; photograph: 5 % grey a "
                 "pixel]");
  app.add_option(
      "--lambda", options.lambda,
      "soft threshold of all layers together [twice the noise; photograph: a fifth of the quantiser's step]");
  app.add_option("--kappa", options.kappa,
                 "compression step size in units of N epsilon^2 / (p ||U||^2); exact steps below 2 lower R^c");
  app.add_flag("--train{200}", options.train_steps,
               "then learn subspaces and dictionaries of encoder and decoder from the tokens, end to end, in so many "
               "steps [200]")
      ->option_text("[=STEPS]")
      ->check(CLI::Range(Index{0}, most));
  app.add_option("--weight", options.weight, "of a non-zero entry in the printed objective, in nats");
}

void add_run_options(CLI::App& app, Options& options) {
  begin_group(app, "Run");
  program_options::add_seed(app, options.seed);
  program_options::add_threads(app, options.threads);
  app.add_option("--output", options.output, "folder for the files written")->type_name("FOLDER");
}

}  // namespace

std::optional<Options> read_options(int argc, char** argv, int& exit_code) {
  Options options;
  CLI::App app(description);
  program_options::set_up(app, "compress_tokens");
  add_file_options(app, options);
  add_toy_options(app, options);
  add_model_options(app, options);
  add_run_options(app, options);
  if (const auto ended = program_options::parse(app, argc, argv)) {
    exit_code = *ended;
    return std::nullopt;
  }
  program_options::check_effects(
      app, [&](std::string_view option) { return why_without_effect(option, options.input_kind()); });
  options.toy.subspaces = options.subspaces.value_or(options.toy.subspaces);
  options.toy.dim = options.dim.value_or(options.toy.dim);
  options.toy.seed = options.seed;
  return options;
}

}  // namespace compress_tokens
