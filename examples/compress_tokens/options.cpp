// SPDX-License-Identifier: MIT
#include "compress_tokens/options.hpp"

#include <CLI/CLI.hpp>
#include <string_view>

#include "program_options/program_options.hpp"

namespace compress_tokens {

namespace {

constexpr const char* description =
    "Fits a white-box transformer to a set of tokens: layers that compress them towards a few subspaces and make\n"
    "them sparse, and a decoder that undoes the layers. Prints what each layer does and what that means, and what an\n"
    "actual code costs; writes pictures, codes, decoded tokens, and the white box for other tokens.\n\n"
    "The tokens are the lines of a table, the patches of a photograph, or, without --input, drawn near subspaces\n"
    "that are known. What you do not set follows from the tokens.\n\n"
    "Takes memory for about a dozen copies of the tokens, 8 bytes a number, and one more for each thread.\n";

/// Of what is counted: products of two stay far from overflow.
constexpr Index most = 1'000'000'000;

using program_options::add_choice;
using program_options::begin_group;

void add_file_options(CLI::App& app, Options& options) {
  begin_group(app, "Tokens from a file");
  app.add_option(
         "--input,input", options.input,
         "tokens, one a line (.csv, .tsv, .txt) or one a row of [tokens, width] (.npy, .safetensors), or a photograph "
         "(.png, .jpg)")
      ->type_name("FILE");
  app.add_option(
         "--tensor", options.tensor,
         "safetensors: the matrix to take, or sets of tokens [sets, tokens, width], as run_model --layers writes "
         "them [the one named tokens, or the only matrix]")
      ->type_name("NAME");
  const program_options::Choices<crate::CsvPart> parts = {
      {"auto", crate::CsvPart::automatic}, {"yes", crate::CsvPart::present}, {"no", crate::CsvPart::absent}};
  app.add_option(
         "--labels", options.csv.labels,
         "CSV: the column of classes, by its name, or counted from 1; the report compares them, the fit ignores "
         "them [none]")
      ->type_name("COLUMN");
  app.add_option("--columns", options.csv.columns,
                 "CSV: the columns of coordinates, likewise, separated by commas [all but the labels]")
      ->delimiter(',')
      ->type_name("COLUMNS");
  add_choice(app, "--header", options.csv.header, parts,
             "CSV: whether the first line names the columns: yes, no, or auto for a look at it")
      ->type_name("ANSWER");
  add_choice(app, "--index", options.csv.index, parts,
             "CSV: whether the first column numbers or names the lines: yes, no, or auto for a look at it")
      ->type_name("ANSWER");
  app.add_option("--patch", options.patch, "photograph: side of the square patches in pixels, up to 64")
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
                 "take the white_box.safetensors that an earlier run wrote, instead of fitting one")
      ->type_name("FILE");
  app.add_option("--subspaces", options.fit.subspaces,
                 "number K of subspaces [2, 3, 4, 8 or 16, whichever saves most; 8 if tokens are drawn]")
      ->check(CLI::Range(Index{1}, most));
  app.add_option("--dim", options.fit.dim,
                 "dimension p of each subspace [2, 4 or 8, whichever saves most; 4 if tokens are drawn]")
      ->check(CLI::Range(Index{1}, most));
  app.add_option("--epsilon", options.fit.epsilon,
                 "error that the rates allow for a token of length 1 [what the subspaces leave out]");
  app.add_option("--depth", options.fit.depth,
                 "number L of layers, up to 1000 [one more as long as it raises R - R^c(Pi) by 1 %, at most 16; 4 for "
                 "tokens that do not fall into subspaces]")
      ->check(CLI::Range(1, 1000));
  add_choice(app, "--step", options.fit.step, steps,
             "what a layer compresses by: a step down the gradient of R^c (exact), down its first order, down what the "
             "softmax of attention makes of it, or up the gradient of R - R^c, with all tokens in all subspaces "
             "(rate-reduction) or each in its own (soft-partition)");
  app.add_option(
      "--kappa", options.fit.kappa,
      "size of the compression step in units of N epsilon^2 / d, or of N epsilon^2 / (p ||U||^2) for the first "
      "three kinds [1, or 0.1 for tokens that do not fall into subspaces]");
  app.add_option(
      "--non-zero", options.fit.non_zero,
      "share of the code's entries to keep, above 0 and at most 1 [those above twice the noise, at most 0.3]");
  app.add_flag("--train{200}", options.train_steps,
               "train encoder and decoder on the tokens after the fit, end to end, in so many steps [200]")
      ->option_text("[=STEPS]")
      ->check(CLI::Range(Index{0}, most));
  app.add_flag("--verbose", options.is_verbose, "print every size of subspaces that was tried, and what it is worth");
}

void add_run_options(CLI::App& app, Options& options) {
  begin_group(app, "Run");
  program_options::add_seed(app, options.seed);
  program_options::add_threads(app, options.threads);
  app.add_option("--output", options.output,
                 "folder for the pictures (.svg), tokens.safetensors and white_box.safetensors")
      ->type_name("FOLDER");
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
