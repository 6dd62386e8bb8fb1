// SPDX-License-Identifier: MIT
#include "compress_tokens/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <thread>

namespace compress_tokens {

namespace {

constexpr const char* description =
    "Compresses a set of tokens with a white-box transformer and decodes it again.\n\n"
    "Without --input, draws tokens from Gaussians on random subspaces, with noise. Otherwise reads tokens (CSV: a line "
    "a token; safetensors: the matrix [tokens, width] that is alone or named tokens) or a photograph (PNG, JPEG), "
    "whose patches become tokens.";

/// Of what is counted: products of two stay far from overflow.
constexpr Index most = 1'000'000'000;

void add_token_options(CLI::App& app, Options& options) {
  app.add_option("--input", options.input, "tokens (.csv, .safetensors) or a photograph (.png, .jpg)");
  const std::map<std::string, crate::CsvPart> parts = {
      {"auto", crate::CsvPart::automatic}, {"yes", crate::CsvPart::present}, {"no", crate::CsvPart::absent}};
  app.add_option("--labels", options.csv.labels, "CSV: the column of labels, by its name, or counted from 1 [none]");
  app.add_option("--columns", options.csv.columns,
                 "CSV: the columns that are coordinates, separated by commas, named likewise [all others]")
      ->delimiter(',');
  app.add_option("--header", options.csv.header,
                 "CSV: whether the first line names the columns [auto: if it evidently does]")
      ->transform(CLI::CheckedTransformer(parts));
  app.add_option("--index", options.csv.index,
                 "CSV: whether the first column numbers or names the lines [auto: if it evidently does]")
      ->transform(CLI::CheckedTransformer(parts));
  app.add_option("--tensor", options.tensor, "safetensors: which of several matrices [tokens]");
  app.add_option("--patch", options.patch, "side of the square patches of a photograph, in pixels")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  app.add_option("--width", options.toy.width, "toy: dimension d of the tokens")
      ->capture_default_str()
      ->check(CLI::Range(Index{1}, most));
  app.add_option("--tokens", options.toy.tokens, "toy: number N of tokens")
      ->capture_default_str()
      ->check(CLI::Range(Index{1}, most));
  app.add_option("--noise", options.toy.noise,
                 "toy: standard deviation of the noise in each coordinate; the signal's is 1")
      ->capture_default_str();
}

void add_model_options(CLI::App& app, Options& options) {
  const std::map<std::string, crate::CompressionStep> steps = {{"exact", crate::CompressionStep::exact},
                                                               {"first-order", crate::CompressionStep::first_order},
                                                               {"softmax", crate::CompressionStep::softmax}};
  const std::map<std::string, DictionarySource> sources = {{"auto", DictionarySource::automatic},
                                                           {"subspaces", DictionarySource::subspaces},
                                                           {"tokens", DictionarySource::tokens}};
  app.add_option("--subspaces", options.subspaces, "number K of subspaces [8]")->check(CLI::Range(Index{1}, most));
  app.add_option("--dim", options.dim, "dimension p of each subspace [4; photograph: 12]")
      ->check(CLI::Range(Index{1}, most));
  app.add_flag("--estimate", options.estimate, "toy: use subspaces estimated from the tokens instead of the true ones");
  app.add_option("--dictionary", options.dictionary,
                 "made from the subspaces, or estimated from the tokens [auto: subspaces if they share no direction]")
      ->transform(CLI::CheckedTransformer(sources));
  app.add_option("--step", options.step,
                 "compression step: exact gradient of R^c, its first order, or softmax attention")
      ->transform(CLI::CheckedTransformer(steps));
  app.add_option("--depth", options.depth, "number L of layers")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_option(
      "--epsilon", options.epsilon,
      "precision of the code, root mean square error of a token [noise of a token; photograph: 5 % grey a pixel]");
  app.add_option(
      "--lambda", options.lambda,
      "soft threshold of all layers together [twice the noise; photograph: a fifth of the quantiser's step]");
  app.add_option("--kappa", options.kappa,
                 "compression step size in units of N epsilon^2 / (p ||U||^2); exact steps below 2 lower R^c")
      ->capture_default_str();
  app.add_flag(
         "--train{200}", options.train_steps,
         "then learn subspaces and dictionaries of encoder and decoder from the tokens, end to end; --train=STEPS "
         "for other than 200")
      ->check(CLI::Range(Index{0}, most));
  app.add_option("--weight", options.weight, "of a non-zero entry in the printed objective, in nats")
      ->capture_default_str();
}

void add_run_options(CLI::App& app, Options& options) {
  app.add_option("--seed", options.seed, "of all random numbers")->capture_default_str();
  app.add_option("--threads", options.threads, "number of threads [all]")->check(CLI::Range(1, 1024));
  app.add_option("--output", options.output, "folder for the files written")->capture_default_str();
}

void check_effects(const CLI::App& app, const Options& options) {
  for (const CLI::Option* const option : app.get_options())
    if (const std::string_view reason = why_without_effect(option->get_name(), options.input_kind());
        option->count() > 0 && !reason.empty())
      throw crate::OptionError(crate::concatenate("option ", option->get_name(), " would have no effect: ", reason));
}

}  // namespace

std::optional<Options> read_options(int argc, char** argv, int& exit_code) {
  Options options;
  CLI::App app(description, "compress_tokens");
  add_token_options(app, options);
  add_model_options(app, options);
  add_run_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    constexpr int usage_error = 2;
    exit_code = app.exit(error) == 0 ? 0 : usage_error;
    return std::nullopt;
  }
  check_effects(app, options);
  if (options.threads == 0) options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.toy.subspaces = options.subspaces.value_or(options.toy.subspaces);
  options.toy.dim = options.dim.value_or(options.toy.dim);
  options.toy.seed = options.seed;
  return options;
}

}  // namespace compress_tokens
