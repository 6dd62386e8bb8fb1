// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/families.hpp"
#include "crate/io/formats/detail/is_among.hpp"
#include "program_options/program_options.hpp"
#include "text_program/start.hpp"
#include "text_program/tokeniser_options.hpp"
#include "training_program/begun_training.hpp"
#include "training_program/check_options.hpp"
#include "training_program/options.hpp"

// The command lines of programs that train on a long text: what they share.

namespace text_program {

struct Options {
  // the text
  std::string text, validation;
  TokeniserOptions tokeniser = {.kind = "characters", .vocabulary = {}};
  Index validation_windows = 256;

  // the model
  std::string family, from;
  Index dim = 128, depth = 4, heads = 4, context = 64;
  double step = 0.1, lambda = 0.1, dropout = 0, token_dropout = 0;
  std::optional<double> start;  // standard deviation of the initial weights
  bool has_ista = true;         // of the blocks of the family

  // the recipe and the files
  training_program::Options training = {.weight_decay = 0.1,
                                        .beta2 = 0.99,
                                        .weight_decay_of = "matrices",
                                        .final_factor = 0.1,
                                        .trainer = {.batch = 12, .cut = {.micro_batch = 3}, .largest_norm = 1}};
  Index steps = 2000, evaluate_every = 200, warm_up = 100;

  /// Why an option would have no effect; empty if it has one.
  [[nodiscard]] std::string_view why_without_effect(std::string_view name) const {
    constexpr std::array<std::string_view, 8> of_new_models = {
        "--family", "--dim", "--depth", "--heads", "--start", "--step-size", "--lambda", "--learn-vocabulary"};
    if (!from.empty() && crate::detail::is_among(of_new_models, name))
      return "--from gives the model and its tokeniser";
    if (!has_ista && (name == "--step-size" || name == "--lambda")) return "models of this --family have no ISTA";
    if (name == "--learn-vocabulary" && !can_be_learned(crate::tokeniser_kind_named(tokeniser.kind)))
      return "this kind of --tokeniser cannot be learned";
    if (name == "--vocabulary" && (tokeniser.kind == "bytes" || tokeniser.learned > 0))
      return "the tokeniser needs no files";
    return training_program::why_without_effect(name, training);
  }
};

[[nodiscard]] inline training_program::ContinuedOptions continued_options() {
  return {.changeable = {"--text", "--validation", "--validation-windows", "--output", "--history", "--steps",
                         "--checkpoint-every", "--history-every"},
          .paths = {"--text", "--validation", "--vocabulary", "--from", "--output", "--history"},
          .of_the_run = {"--sample", "--prompt", "--temperature"}};
}

inline void add_text_options(CLI::App& app, Options& o) {
  program_options::begin_group(app, "Text");
  app.add_option("--text", o.text, "text file to train on")->type_name("FILE");
  app.add_option("--validation", o.validation,
                 "validation text [the last tenth of --text, which is then not trained on]")
      ->type_name("FILE");
  app.add_option("--validation-windows", o.validation_windows,
                 "number of evenly spaced pieces of the validation text for the measurements during training; at "
                 "the end all of it is used")
      ->check(CLI::Range(Index{1}, Index{1} << 40));
  add_tokeniser_options(app, o.tokeniser, o.tokeniser.kind, "none; a character tokeniser is built from --text");
  add_learning_option(app, o.tokeniser, "the text", o.tokeniser.kind == "bert" ? "bert" : "bpe");
}

inline void add_model_options(CLI::App& app, Options& o, const std::vector<std::string>& families) {
  program_options::begin_group(app, "Model");
  app.add_option("--from", o.from,
                 "start from these weights, with their sizes and (unless --tokeniser or --vocabulary is given) their "
                 "tokeniser")
      ->type_name("FILE");
  program_options::add_choice(app, "--family", o.family, families, program_options::alternatives(families));
  app.add_option("--dim", o.dim, "width of the tokens");
  app.add_option("--depth", o.depth, "number of blocks");
  app.add_option("--heads", o.heads, "number of attention heads");
  app.add_option("--context", o.context, "context length in tokens; with --from at most that of the weights");
  training_program::add_ista_options(app, o.step, o.lambda);
  training_program::add_dropout_options(app, o.dropout, o.token_dropout);
  add_start_option(app, o.start);
}

inline void add_recipe_options(CLI::App& app, Options& o) {
  constexpr Index most = Index{1} << 40;
  program_options::begin_group(app, "Recipe");
  training_program::add_rule_options(app, o.training);
  app.add_option("--steps", o.steps, "number of steps, including those before --resume")
      ->check(CLI::Range(Index{0}, most));
  app.add_option("--evaluate-every", o.evaluate_every, "measure every N steps; --steps must be a multiple of it")
      ->check(CLI::Range(Index{1}, most));
  app.add_option("--warm-up", o.warm_up,
                 "length of the warm-up in steps, in which the learning rate rises linearly [" +
                     std::to_string(o.warm_up) + ", or a tenth of --steps if these are fewer]")
      ->check(CLI::Range(Index{0}, most));
  training_program::add_batch_options(app, o.training, "pieces of text");
}

/// Defaults that depend on other options.
inline void complete_options(const CLI::App& app, Options& o) {
  if (app.count("--tokeniser") == 0 && !o.from.empty()) o.tokeniser.kind.clear();  // from its files
  if (app.count("--tokeniser") == 0 && o.from.empty() && o.tokeniser.learned > 0 &&
      !can_be_learned(crate::tokeniser_kind_named(o.tokeniser.kind)))
    o.tokeniser.kind = "bpe";
  if (app.count("--evaluate-every") == 0 && o.steps < o.evaluate_every && o.steps > 0) o.evaluate_every = o.steps;
  const bool decays = o.training.schedule != "constant";
  if (app.count("--warm-up") == 0 && decays && o.steps > 0 && o.steps < o.warm_up) o.warm_up = o.steps / 10;
}

/// Records the completed options and the kind of the tokeniser, so that a resumed training uses the same.
inline void note_completed(const Options& o, crate::TokeniserKind kind, crate::Metadata& notes) {
  for (auto& [name, text] : notes) {
    if (name == "--tokeniser") text = crate::name_of(kind);
    if (name == "--evaluate-every") text = std::to_string(o.evaluate_every);
    if (name == "--warm-up") text = std::to_string(o.warm_up);
    if (name == "--context") text = std::to_string(o.context);
  }
}

/// Throws as training_program::check_options, and OptionError on options of texts that cannot be.
inline void check_options(const CLI::App& app, Options& o) {
  complete_options(app, o);
  program_options::check_effects(app, [&](std::string_view name) { return o.why_without_effect(name); });
  training_program::check_given(o.training, "--text", "a file", o.text);
  check_start(o.start);
  if (o.training.schedule != "constant" && o.steps > 0 && o.steps < o.warm_up)
    throw crate::OptionError(
        crate::concatenate("option --warm-up: expected at most --steps, ", o.steps, ", found ", o.warm_up));
  if (o.steps % o.evaluate_every != 0)
    throw crate::OptionError(crate::concatenate("option --steps: expected a multiple of --evaluate-every, ",
                                                o.evaluate_every, ", found ", o.steps));
  o.training.trainer.epochs = o.steps / o.evaluate_every;
  training_program::check_options(o.training, {{"--text", o.text}, {"--validation", o.validation}, {"--from", o.from}});
  for (const std::string& weights : {o.training.output, o.training.checkpoint})
    if (!weights.empty()) check_tokeniser_folder(weights);
}

}  // namespace text_program
