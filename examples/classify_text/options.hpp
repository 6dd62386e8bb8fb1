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
  std::optional<double> start;  // deviation of the random start

  // the recipe and the files
  training_program::Options training = {
      .weight_decay = 0.1,
      .decay_matrices_only = true,
      .trainer = {.epochs = 3, .batch = 32, .cut = {.micro_batch = 8}, .largest_norm = 1}};
  double warm_up_epochs = 0.1;

  /// Of a vocabulary that is learned from the sentences.
  [[nodiscard]] crate::TokeniserKind learned_kind() const {
    return tokeniser.kind.empty() ? crate::TokeniserKind::bert : crate::tokeniser_kind_named(tokeniser.kind);
  }

  [[nodiscard]] std::string_view why_without_effect(std::string_view name) const {
    constexpr std::array<std::string_view, 6> of_new_models = {"--family", "--dim",     "--depth",
                                                               "--heads",  "--context", "--start"};
    if (!from.empty() && crate::detail::is_among(of_new_models, name)) return "the model is that of --from";
    if (name == "--text" && weights.empty()) return "there are no --weights to classify it";
    if (name == "--learn-vocabulary" && !from.empty()) return "the tokeniser is that of --from";
    if (name == "--learn-vocabulary" && !text_program::can_be_learned(learned_kind()))
      return "--tokeniser is none that can be learned";
    if (name == "--vocabulary" && (tokeniser.kind == "bytes" || tokeniser.learned > 0))
      return "the tokeniser needs no files";
    return training_program::why_without_effect(name, training);
  }
};

[[nodiscard]] inline training_program::ContinuedOptions continued_options() {
  return {.changeable = {"--train", "--test", "--header", "--vocabulary", "--output", "--history", "--epochs",
                         "--checkpoint-every", "--history-every"},
          .paths = {"--train", "--test", "--vocabulary", "--from", "--output", "--history"}};
}

inline void add_options(CLI::App& app, Options& o) {
  using program_options::begin_group;
  begin_group(app, "Use");
  app.add_option("--weights", o.weights, "classifier to use, with --text or --test; without it one is trained")
      ->type_name("FILE");
  app.add_option("--text", o.text, "sentences to classify, one a line; - for standard input")->type_name("FILE");
  begin_group(app, "Sentences with their classes");
  app.add_option("--train", o.train, "lines of SENTENCE TAB CLASS, or of CLASS BLANK SENTENCE")->type_name("FILE");
  app.add_option("--test", o.test, "the same, to measure on")->type_name("FILE");
  program_options::add_choice(app, "--header", o.header, {"auto", "yes", "no"},
                              "whether the first line names the columns: yes, no, or auto: if its class is no number, "
                              "and of no other line")
      ->type_name("ANSWER");
  text_program::add_tokeniser_options(app, o.tokeniser, "as its files tell", "the one beside --weights or --from");
  text_program::add_learning_option(app, o.tokeniser, "the sentences", "bert");
  begin_group(app, "Model");
  app.add_option("--from", o.from, "begin with a masked language model; the head is new")->type_name("FILE");
  program_options::add_choice(app, "--family", o.family, {"crate-bert-classifier", "transformer-bert-classifier"},
                              "crate-bert-classifier or transformer-bert-classifier");
  app.add_option("--dim", o.dim, "width of the tokens");
  app.add_option("--depth", o.depth, "blocks");
  app.add_option("--heads", o.heads, "number of heads");
  app.add_option("--context", o.context, "most tokens of a sentence; what is longer is cut off");
  program_options::add_choice(app, "--pool", o.pool, {"cls", "mean"},
                              "token that the head reads: cls (the first) or mean (of all but padding)");
  app.add_option("--dropout", o.dropout, "in the attention");
  app.add_option("--token-dropout", o.token_dropout, "of what enters the first block");
  app.add_option("--word-dropout", o.word_dropout,
                 "of tokens but the first, the end of the sentence among them, for which the model sees the mask");
  text_program::add_start_option(app, o.start);
  begin_group(app, "Recipe");
  training_program::add_rule_options(app, o.training);
  app.add_option("--warm-up", o.warm_up_epochs, "epochs in which the rate rises")->check(CLI::NonNegativeNumber);
  app.add_option("--label-smoothing", o.training.label_smoothing,
                 "share of each label that is spread over all classes");
  app.add_option("--epochs", o.training.trainer.epochs, "passes over the sentences; those before --resume count");
  training_program::add_batch_options(app, o.training, "sentences");
  training_program::add_file_options(app, o.training, "epoch", "--epochs, --train for as many sentences, --test");
}

/// Of a training. Throws as training_program::check_options, and if there is nothing to train or to measure on.
inline void check_options(const CLI::App& app, const Options& o) {
  program_options::check_effects(app, [&](std::string_view name) { return o.why_without_effect(name); });
  training_program::check_given(o.training, "--train", "a file", o.train);
  training_program::check_given(o.training, "--test", "a file", o.test);
  training_program::check_number(std::isfinite(o.warm_up_epochs) && o.warm_up_epochs >= 0,
                                 "--warm-up: expected a number of epochs", o.warm_up_epochs);
  training_program::check_number(o.word_dropout >= 0 && o.word_dropout < 1,
                                 "--word-dropout: expected a number in [0, 1)", o.word_dropout);
  text_program::check_start(o.start);
  if (o.tokeniser.kind.empty() && o.tokeniser.vocabulary.empty() && o.from.empty() && o.tokeniser.learned == 0)
    throw crate::OptionError(
        "option --tokeniser: expected one, or --learn-vocabulary, as there is no --from that has its own, found "
        "nothing");
  training_program::check_options(o.training, {{"--train", o.train}, {"--test", o.test}, {"--from", o.from}});
  for (const std::string& weights : {o.training.output, o.training.checkpoint})
    if (!weights.empty()) text_program::check_tokeniser_folder(weights);
}

}  // namespace classify_text
