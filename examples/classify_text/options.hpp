// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "crate/io/formats/detail/is_among.hpp"
#include "program_options/program_options.hpp"
#include "text_program/start.hpp"
#include "text_program/tokeniser_options.hpp"
#include "training_program/begun_training.hpp"
#include "training_program/check_options.hpp"
#include "training_program/options.hpp"

namespace classify_text {

using crate::Index;

struct Options {
  // the sentences
  std::string train, test, text, header = "auto";
  text_program::TokeniserOptions tokeniser = {.special_tokens = text_program::special_tokens_of_masked_models()};

  // the model
  std::string weights, from, family = "crate-bert-classifier", pool = "mean";
  Index dim = 128, depth = 2, heads = 4, context = 64;
  double dropout = 0.1, token_dropout = 0.1, word_dropout = 0;
  std::optional<double> start;  // standard deviation of the initial weights

  // the recipe and the files
  training_program::Options training = {
      .weight_decay = 0.1,
      .weight_decay_of = "matrices",
      .warm_up_epochs = 0.1,
      .trainer = {.epochs = 3, .batch = 32, .cut = {.micro_batch = 8}, .largest_norm = 1}};

  /// The kind of a vocabulary that is learned from the sentences.
  [[nodiscard]] crate::TokeniserKind learned_kind() const {
    return tokeniser.kind.empty() ? crate::TokeniserKind::bert : crate::tokeniser_kind_named(tokeniser.kind);
  }

  [[nodiscard]] std::string_view why_without_effect(std::string_view name) const {
    constexpr std::array<std::string_view, 6> of_new_models = {"--family", "--dim",     "--depth",
                                                               "--heads",  "--context", "--start"};
    if (!from.empty() && crate::detail::is_among(of_new_models, name)) return "--from gives the model";
    if (name == "--text" && weights.empty()) return "--weights is not given";
    if (name == "--learn-vocabulary" && !from.empty()) return "--from gives the tokeniser";
    if (name == "--learn-vocabulary" && !text_program::can_be_learned(learned_kind()))
      return "this kind of --tokeniser cannot be learned";
    if (name == "--vocabulary" && (tokeniser.kind == "bytes" || tokeniser.learned > 0))
      return "the tokeniser needs no files";
    return training_program::why_without_effect(name, training);
  }
};

[[nodiscard]] inline training_program::ContinuedOptions continued_options() {
  return {.changeable = {"--train", "--test", "--header", "--output", "--history", "--epochs", "--checkpoint-every",
                         "--history-every"},
          .paths = {"--train", "--test", "--vocabulary", "--from", "--output", "--history"}};
}

inline void add_options(CLI::App& app, Options& o) {
  using program_options::begin_group;
  begin_group(app, "Use");
  app.add_option("--weights", o.weights, "use this classifier on --text or --test; without it, train one")
      ->type_name("FILE");
  app.add_option(
         "--text", o.text,
         "sentences to classify, one per line; - for standard input. Blank lines are left out. Of a file with tabs, "
         "SENTENCE<tab>CLASS, the sentences are classified, and the accuracy is printed")
      ->type_name("FILE");
  begin_group(app, "Sentences with their classes");
  app.add_option("--train", o.train,
                 "training file: one SENTENCE<tab>CLASS per line, or, in a file without tabs, CLASS<space>SENTENCE")
      ->type_name("FILE");
  app.add_option("--test", o.test, "test file, in the same format")->type_name("FILE");
  program_options::add_choice(
      app, "--header", o.header, {"auto", "yes", "no"},
      "whether the first line is a header: yes, no, or auto (yes if its class is not a number and "
      "does not occur in another line)")
      ->type_name("ANSWER");
  text_program::add_tokeniser_options(app, o.tokeniser, "from its files", "next to --weights or --from");
  text_program::add_learning_option(app, o.tokeniser, "the sentences", "bert");
  begin_group(app, "Model");
  app.add_option("--from", o.from, "start from this masked language model, with a new head")->type_name("FILE");
  program_options::add_choice(app, "--family", o.family, {"crate-bert-classifier", "transformer-bert-classifier"},
                              "crate-bert-classifier or transformer-bert-classifier");
  app.add_option("--dim", o.dim, "width of the tokens");
  app.add_option("--depth", o.depth, "number of blocks");
  app.add_option("--heads", o.heads, "number of attention heads");
  app.add_option("--context", o.context, "maximum number of tokens of a sentence; longer ones are cut, and counted");
  program_options::add_choice(app, "--pool", o.pool, {"cls", "mean"},
                              "what the head reads: cls (the first token) or mean (the mean of all but padding)");
  training_program::add_dropout_options(app, o.dropout, o.token_dropout);
  app.add_option("--word-dropout", o.word_dropout,
                 "probability with which a token, other than the first, is replaced by the mask during training");
  text_program::add_start_option(app, o.start);
  begin_group(app, "Recipe");
  training_program::add_rule_options(app, o.training);
  app.add_option("--label-smoothing", o.training.label_smoothing,
                 "spread this share of each label evenly over all classes");
  training_program::add_length_options(app, o.training);
  training_program::add_batch_options(app, o.training, "sentences");
  training_program::add_file_options(app, o.training, "epoch", continued_options().changeable);
}

/// Of a training. Throws as training_program::check_options, and if there is nothing to train or to measure on.
inline void check_options(const CLI::App& app, const Options& o) {
  program_options::check_effects(app, [&](std::string_view name) { return o.why_without_effect(name); });
  training_program::check_given(o.training, "--train", "a file", o.train);
  training_program::check_given(o.training, "--test", "a file", o.test);
  training_program::check_number(o.word_dropout >= 0 && o.word_dropout < 1,
                                 "--word-dropout: expected a number in [0, 1)", o.word_dropout);
  text_program::check_start(o.start);
  if (o.tokeniser.kind.empty() && o.tokeniser.vocabulary.empty() && o.from.empty() && o.tokeniser.learned == 0)
    throw crate::OptionError(
        "option --tokeniser is required: give it, or --learn-vocabulary, or a model with a tokeniser with --from");
  training_program::check_options(o.training, {{"--train", o.train}, {"--test", o.test}, {"--from", o.from}});
  for (const std::string& weights : {o.training.output, o.training.checkpoint})
    if (!weights.empty()) text_program::check_tokeniser_folder(weights);
}

}  // namespace classify_text
