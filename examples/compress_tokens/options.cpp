// SPDX-License-Identifier: MIT
#include "compress_tokens/options.hpp"

#include <CLI/CLI.hpp>
#include <string_view>

#include "crate/core/errors.hpp"
#include "program_options/program_options.hpp"

namespace compress_tokens {

namespace {

/// Of what is counted: products of two stay far from overflow.
constexpr Index most = 1'000'000'000;

using program_options::add_choice;
using program_options::begin_group;

void add_file_options(CLI::App& app, Options& options) {
  begin_group(app, "Tokens from a file");
  app.add_option("--input,input", options.input,
                 "tokens, one per line (.csv, .tsv, .txt, also packed by gzip: .csv.gz) or one per row of a matrix "
                 "[tokens, width] (.npy, "
                 ".safetensors), or a "
                 "photograph (.png, .jpg)")
      ->type_name("FILE");
  app.add_option(
         "--tensor", options.tensor,
         "safetensors only: name of the matrix [tokens, width], or of token sets [sets, tokens, width] as written by "
         "run_model --layers [`tokens`, or the only matrix]")
      ->type_name("NAME");
  const program_options::Choices<crate::CsvPart> parts = {
      {"auto", crate::CsvPart::automatic}, {"yes", crate::CsvPart::present}, {"no", crate::CsvPart::absent}};
  app.add_option(
         "--labels", options.csv.labels,
         "CSV: the column of classes, by its name, or counted from 1; the report compares them, the fit ignores "
         "them [none]")
      ->type_name("COLUMN");
  app.add_option("--columns", options.csv.columns,
                 "CSV: the columns of coordinates, by name or number, separated by commas [all but the labels]")
      ->delimiter(',')
      ->type_name("COLUMNS");
  add_choice(app, "--header", options.csv.header, parts,
             "CSV: whether the first line names the columns: yes, no, or auto (decide from the file)")
      ->type_name("ANSWER");
  add_choice(app, "--index", options.csv.index, parts,
             "CSV: whether the first column numbers or names the lines: yes, no, or auto (decide from the file)")
      ->type_name("ANSWER");
  app.add_option("--patch", options.patch, "photograph: side of the square patches in pixels, up to 64")
      ->check(CLI::Range(1, 64));
}

void add_toy_options(CLI::App& app, Options& options) {
  begin_group(app, "Tokens that are drawn, without --input");
  app.add_option("--width", options.toy.width, "dimension d of the tokens")->check(CLI::Range(Index{1}, most));
  app.add_option("--tokens", options.toy.tokens, "number N of tokens")->check(CLI::Range(Index{1}, most));
  app.add_option(
      "--noise", options.toy.noise,
      "standard deviation of the noise in each of the d coordinates (the signal has deviation 1 in each of the p "
      "dimensions of its subspace)");
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
                 "use the white_box.safetensors that an earlier run wrote, instead of fitting one")
      ->type_name("FILE");
  app.add_option("--subspaces", options.fit.subspaces,
                 "number K of subspaces [2, 3, 4, 8 or 16, whichever saves most; 8 if tokens are drawn]")
      ->check(CLI::Range(Index{1}, most));
  app.add_option("--dim", options.fit.dim,
                 "dimension p of each subspace [2, 4 or 8, whichever saves most; 4 if tokens are drawn]")
      ->check(CLI::Range(Index{1}, most));
  app.add_option("--epsilon", options.fit.epsilon,
                 "precision epsilon: coding error allowed for a token of length 1 [the part of the tokens outside the "
                 "subspaces]");
  app.add_option(
         "--depth", options.fit.depth,
         "number L of layers, up to 1000 [layers are added while each raises R - R^c(Pi) by at least 1 %, up to "
         "16; 4 if the tokens do not fall into subspaces]")
      ->check(CLI::Range(1, 1000));
  add_choice(app, "--step", options.fit.step, steps,
             "the compression step: exact (gradient step on R^c), first-order (its first-order approximation), softmax "
             "(the approximation by attention), rate-reduction (gradient step on R - R^c, each token in all subspaces) "
             "or soft-partition (the same, each token in its own subspace)");
  app.add_option(
      "--kappa", options.fit.kappa,
      "size of the compression step in units of N epsilon^2 / d, or of N epsilon^2 / (p ||U||^2) for the first "
      "three kinds, above 0 [1, or 0.1 for tokens that do not fall into subspaces]");
  app.add_option(
      "--non-zero", options.fit.non_zero,
      "share of non-zero entries in the code, above 0 and at most 1 [the share of entries larger than twice the noise, "
      "at most 0.3]");
  app.add_flag("--train{200}", options.train_steps,
               "after the fit, train encoder and decoder end to end on the tokens, for this many steps [200]")
      ->option_text("[=STEPS]")
      ->check(CLI::Range(Index{0}, most));
  app.add_flag("--verbose", options.is_verbose,
               "print all numbers and dimensions of subspaces that were tried, with their score");
}

void add_run_options(CLI::App& app, Options& options) {
  begin_group(app, "Run");
  program_options::add_seed(app, options.seed);
  program_options::add_threads(app, options.threads);
  app.add_option(
         "--output", options.output,
         "folder for the pictures, tokens.safetensors and white_box.safetensors; pictures of the same names and the "
         "files of earlier runs are replaced, but no safetensors file of another program")
      ->type_name("FOLDER");
}

}  // namespace

void add_options(CLI::App& app, Options& options) {
  add_file_options(app, options);
  add_toy_options(app, options);
  add_white_box_options(app, options);
  add_run_options(app, options);
}

void complete_options(const CLI::App& app, Options& options) {
  program_options::check_effects(app, [&](std::string_view option) { return why_without_effect(option, options); });
  if (const auto kappa = options.fit.kappa; kappa && !(*kappa > 0))
    throw crate::OptionError(crate::concatenate("option --kappa: expected a number > 0, found ", *kappa));
  options.toy.subspaces = options.fit.subspaces.value_or(options.toy.subspaces);
  options.toy.dim = options.fit.dim.value_or(options.toy.dim);
  options.toy.seed = options.fit.seed = options.seed;
}

}  // namespace compress_tokens
