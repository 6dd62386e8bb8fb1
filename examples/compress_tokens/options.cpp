// SPDX-License-Identifier: MIT
#include "compress_tokens/options.hpp"

#include <CLI/CLI.hpp>
#include <string_view>

#include "program_options/program_options.hpp"

namespace compress_tokens {

namespace {

constexpr const char* description =
    "Fits a white-box transformer to a set of tokens, compresses them with it and decodes them again.\n\n"
    "Without --input, draws tokens from Gaussians on random subspaces, with noise. Otherwise reads tokens\n"
    "or a photograph, whose patches become tokens. A table, sentences and pictures say what each layer does\n"
    "to them. What no option says follows from the tokens.\n";

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
}

void add_white_box_options(CLI::App& app, Options& options) {
  const program_options::Choices<crate::CompressionStep> steps = {
      {"exact", crate::CompressionStep::exact},
      {"first-order", crate::CompressionStep::first_order},
      {"softmax", crate::CompressionStep::softmax},
      {"rate-reduction", crate::CompressionStep::rate_reduction},
      {"soft-partition", crate::CompressionStep::soft_partition}};
  begin_group(app, "White box");
  app.add_option("--load", options.load,
                 "apply a white_box.safetensors that was written before to these tokens; none is fitted")
      ->type_name("FILE");
  app.add_option("--subspaces", options.fit.subspaces,
                 "number K of subspaces [4, 8 or 16, whichever saves most; 8 are drawn]")
      ->check(CLI::Range(Index{1}, most));
  app.add_option("--dim", options.fit.dim, "dimension p of each subspace [2, 4 or 8, whichever saves most; 4 is drawn]")
      ->check(CLI::Range(Index{1}, most));
  app.add_option("--epsilon", options.fit.epsilon,
                 "precision of the rates, of a token scaled to length 1 [what the subspaces leave out]");
  app.add_option("--depth", options.fit.depth,
                 "number L of layers, up to 1000 [as many as raise R - R^c(Pi) by 1 % each, at most 16; 4 for tokens "
                 "that do not fall into subspaces]")
      ->check(CLI::Range(1, 1000));
  add_choice(app, "--step", options.fit.step, steps,
             "compression: down the exact gradient of R^c, its first order, or the softmax of attention; or up that "
             "of R - R^c, with every subspace or a soft partition of the tokens among them");
  app.add_option("--kappa", options.fit.kappa,
                 "compression step size, 1 being N epsilon^2 / d, or N epsilon^2 / (p ||U||^2) for the first three "
                 "steps [1, or 0.1 for tokens that do not fall into subspaces]");
  app.add_option("--non-zero", options.fit.non_zero,
                 "share of the code's entries that are left, above 0 and at most 1 [of those above twice the noise, "
                 "at most 0.3]");
  app.add_flag("--train{200}", options.train_steps,
               "then learn subspaces and dictionaries of encoder and decoder from the tokens, end to end, in so many "
               "steps [200]")
      ->option_text("[=STEPS]")
      ->check(CLI::Range(Index{0}, most));
  app.add_flag("--verbose", options.is_verbose, "print all sizes of subspaces that were tried");
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
  add_white_box_options(app, options);
  add_run_options(app, options);
  if (const auto ended = program_options::parse(app, argc, argv)) {
    exit_code = *ended;
    return std::nullopt;
  }
  program_options::check_effects(app, [&](std::string_view option) { return why_without_effect(option, options); });
  options.toy.subspaces = options.fit.subspaces.value_or(options.toy.subspaces);
  options.toy.dim = options.fit.dim.value_or(options.toy.dim);
  options.toy.seed = options.fit.seed = options.seed;
  return options;
}

}  // namespace compress_tokens
