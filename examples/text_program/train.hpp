// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdio>
#include <iostream>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "crate/core/detail/count_of.hpp"
#include "crate/core/errors.hpp"
#include "crate/io/load_model.hpp"
#include "crate/training/token_prediction.hpp"
#include "crate/training/trainer.hpp"
#include "text_program/measure.hpp"
#include "text_program/options.hpp"
#include "text_program/save.hpp"
#include "training_program/attention_dropout.hpp"
#include "training_program/run.hpp"

// Training on a long text. A program that does so has
//   Families                              the choices of --family
//   predicts_every_token                  whether the cost of a text in bits per byte is known
//   fresh_model<Model>(options, vocabulary)
//   text_of(model)                        the part of the model with its blocks and the dropout before them
//   drawn(ids, options, tokeniser), spread(ids, options, tokeniser, most)      the examples, to train and to measure on
//   check(tokeniser)                      throws if the program cannot use it
//   show(model, tokeniser, step, threads) prints more about the model after its loss

namespace text_program {

using crate::TokenId;

/// A text in tokens: training, validation, and the number of bytes per token of the latter.
struct SplitText {
  std::vector<TokenId> training, validation;
  double bytes_per_token = 1;
};

/// Where the last tenth of a text begins, at a character.
[[nodiscard]] inline std::size_t last_tenth(std::string_view text) {
  constexpr unsigned continues = 0x80, lead_bits = 0xC0;  // of a byte of UTF-8 that is not the first of its character
  std::size_t begin = text.size() * 9 / 10;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & lead_bits) == continues) ++begin;
  return begin;
}

/// Reports Windows line ends, and bytes that are not UTF-8, on standard error, for character tokenisers.
inline void warn_of_text(const crate::Tokeniser& tokeniser, std::string_view text, const std::string& path) {
  warn_of_replaced_bytes(tokeniser, text, path);
  if (std::holds_alternative<crate::CharacterTokeniser>(tokeniser.any()) && text.find("\r\n") != text.npos)
    std::cerr << path
              << ": the text has Windows line ends (U+000D before U+000A), which the model will learn to write; "
              << "sed 's/\\r$//' converts them\n";
}

/// The texts of the options in tokens; without a validation text the last tenth is one. Throws FileError if one is too
/// short.
inline SplitText split_text(const Options& o, std::string_view text, const crate::Tokeniser& tokeniser) {
  const std::size_t kept = o.validation.empty() ? last_tenth(text) : text.size();
  const std::string validation = o.validation.empty() ? std::string(text.substr(kept)) : read_text(o.validation);
  const std::string& measured_on = o.validation.empty() ? o.text : o.validation;
  SplitText split{.training = encode(tokeniser, text.substr(0, kept), o.text),
                  .validation = encode(tokeniser, validation, measured_on)};
  const auto check = [](std::string_view what, const std::string& path, const std::vector<TokenId>& ids, Index least) {
    if (std::ssize(ids) < least)
      throw crate::file_error(path, "expected at least ", crate::detail::count_of(least, "token"), " ", what,
                              ", found ", ids.size());
  };
  check("to train on, --context and one more", o.text, split.training, o.context + 1);
  check("to measure on", measured_on, split.validation, 2);
  split.bytes_per_token = static_cast<double>(validation.size()) / static_cast<double>(split.validation.size());
  return split;
}

[[nodiscard]] inline double bits_per_byte(double nats_per_token, double bytes_per_token) {
  return nats_per_token / bytes_per_token / std::numbers::ln2;
}

/// Bits per byte are printed if every token is predicted.
inline void print_heading(bool reports_bits) {
  std::printf("\n    step   training loss   validation loss   perplexity%s   seconds\n",
              reports_bits ? "   bits per byte" : "");
  std::fflush(stdout);
}

inline void print_epoch(const crate::EpochReport<crate::TokenPredictionMeasures>& report,
                        std::optional<double> bytes_per_token) {
  const double loss = report.test.loss.mean();
  std::printf("  %6td   %13.4f   %15.4f   %10.2f", report.step, report.training.loss.mean(), loss,
              report.test.perplexity());
  if (bytes_per_token) std::printf("   %13.3f", bits_per_byte(loss, *bytes_per_token));
  std::printf("   %7.1f\n", report.seconds);
  std::fflush(stdout);
}

inline void print_whole(double loss, std::optional<double> bytes_per_token) {
  std::printf("\nvalidation loss on the whole text: %.4f nats per token", loss);
  if (bytes_per_token) std::printf(", %.3f bits per byte", bits_per_byte(loss, *bytes_per_token));
  std::printf("\n");
}

/// What a checkpoint must agree in beside the trainer's own options.
inline crate::Recipe recipe_of(const Options& o, const SplitText& text, const crate::Tokeniser& tokeniser) {
  using crate::detail::exact_text;
  crate::Recipe recipe;
  describe(recipe, training_program::optimiser_options(o.training));
  recipe.insert(recipe.end(), {{"dropout", exact_text(o.dropout)},
                               {"token dropout", exact_text(o.token_dropout)},
                               {"vocabulary", exact_text(tokeniser.vocabulary_size())},
                               {"training tokens", exact_text(std::ssize(text.training))}});
  return recipe;
}

template <class Program, class Model>
int train(const Program& program, const Options& o, const SplitText& text, const ChosenTokeniser& chosen, Model model,
          crate::Metadata notes) {
  check_vocabulary(chosen.tokeniser, model.vocabulary());
  std::printf("%s, %td parameters; %s, %s, vocabulary of %td\n", std::string(crate::FamilyOf<Model>::name).c_str(),
              parameter_count(model), crate::detail::count_of(text.training.size(), "training token").c_str(),
              crate::detail::count_of(text.validation.size(), "validation token").c_str(),
              chosen.tokeniser.vocabulary_size());
  crate::Threads threads(o.training.threads);
  const auto training = program.drawn(text.training, o, chosen.tokeniser);
  const auto test = program.spread(text.validation, o, chosen.tokeniser, o.validation_windows);
  auto state = training_program::first_state<crate::TokenPredictionObjective<Model>>(std::move(model), o.training);
  crate::Trainer trainer(
      state, training, test,
      training_program::trainer_options(o.training, training_program::schedule_of(o.training, o.warm_up, o.steps),
                                        std::move(notes)),
      threads, recipe_of(o, text, chosen.tokeniser));
  const std::optional<double> bytes_per_token =
      Program::predicts_every_token ? std::optional(text.bytes_per_token) : std::nullopt;
  const auto on_epoch = [&](const auto& report) {
    print_epoch(report, bytes_per_token);
    program.show(state.result(), chosen.tokeniser, state.step, threads);
  };
  const auto begin = [&] {
    if (!o.training.checkpoint.empty() && o.training.trainer.ranks->is_first())
      write_beside(o.training.checkpoint, chosen);
    print_heading(Program::predicts_every_token);
  };
  if (!training_program::run(trainer, state, o.training, {"--steps", crate::detail::count_of(o.steps, "step")}, begin,
                             on_epoch, SaveWithTokeniser{chosen}))
    return training_program::interrupted;
  const auto whole = program.spread(text.validation, o, chosen.tokeniser, std::ssize(text.validation));
  const double loss = trainer.measure(whole).loss.mean();
  print_whole(loss, bytes_per_token);
  if (!o.training.output.empty())
    std::printf("weights written to %s, their tokeniser to %s\n", o.training.output.c_str(),
                tokeniser_folder(o.training.output).c_str());
  return 0;
}

/// The names of a program's families.
template <class Program>
std::vector<std::string> family_names() {
  std::vector<std::string> names;
  crate::detail::FamilyList<typename Program::Families>::for_each(
      [&]<class Family>(Family) { names.emplace_back(Family::name); });
  return names;
}

/// The new model that the options ask for.
template <class Program>
crate::AnyModel<float, typename Program::Families> fresh_model(const Program& program, const Options& o,
                                                               Index vocabulary) {
  std::optional<crate::AnyModel<float, typename Program::Families>> model;
  crate::detail::FamilyList<typename Program::Families>::for_each([&]<class Family>(Family) {
    if (o.family == Family::name)
      model = program.template fresh_model<typename Family::template Model<float>>(o, vocabulary);
  });
  return std::move(model).value();
}

/// Whether blocks of the family of this name have ISTA.
template <class Program>
bool has_ista(std::string_view name) {
  bool has = false;
  crate::detail::FamilyList<typename Program::Families>::for_each([&]<class Family>(Family) {
    if (name == Family::name) has = requires(typename Family::template Model<float>::Options o) {
        Program::block_of(o).lambda;
      };
  });
  return has;
}

/// The model of --from, whose dropout is that of the recipe; nothing without --from. Pieces of text are as long as
/// --context or, if it is not given, as the model's own. Throws OptionError if --context is longer than that.
template <class Program>
std::optional<crate::AnyModel<float, typename Program::Families>> model_to_tune(const CLI::App& app, Options& o) {
  if (o.from.empty()) return std::nullopt;
  auto any_model = crate::load_model<float, typename Program::Families>(o.from);
  std::visit(
      [&](auto& model) {
        if (app.count("--context") == 0) o.context = model.context();
        if (o.context > model.context())
          throw crate::OptionError(crate::concatenate("option --context: expected at most ", model.context(),
                                                      ", the context of --from, found ", o.context));
        auto& text = Program::text_of(model);
        training_program::set_attention_dropout(text.encoder.layers, o.dropout);
        text.tokens.dropout = o.token_dropout;
      },
      any_model);
  return any_model;
}

/// The tokeniser of a new training.
inline ChosenTokeniser first_tokeniser(const Options& o, std::string_view text) {
  return o.from.empty() ? tokeniser_for(o.tokeniser, text) : read_tokeniser(o.tokeniser, o.from);
}

/// The program after its command line was read; add(app, options) adds all options.
template <class Program, class Add>
int run(const Program& program, CLI::App& app, Options& o, const Add& add) {
  using Families = typename Program::Families;
  auto begun = training_program::read_begun_training<Families>(o.training);
  if (begun) training_program::complete_options(app, begun->notes, continued_options());
  o.has_ista = has_ista<Program>(o.family);
  check_options(app, o);
  const bool goes_on = begun && begun->model;
  auto any_model = goes_on ? std::move(begun->model) : model_to_tune<Program>(app, o);
  crate::Metadata notes = training_program::describe_options<Options>(
      app, add, continued_options(), [&](std::string_view name) { return o.why_without_effect(name); });

  const std::string text = read_text(o.text);
  auto beside = goes_on ? read_beside(o.training.checkpoint) : std::nullopt;
  const ChosenTokeniser chosen = beside ? *std::move(beside) : first_tokeniser(o, text);
  note_completed(o, chosen.kind, notes);
  program.check(chosen.tokeniser);
  if (o.training.trainer.ranks->is_first()) warn_of_text(chosen.tokeniser, text, o.text);
  const SplitText split = split_text(o, text, chosen.tokeniser);
  if (!any_model) any_model = fresh_model(program, o, chosen.tokeniser.vocabulary_size());
  return std::visit([&](auto& model) { return train(program, o, split, chosen, std::move(model), std::move(notes)); },
                    *any_model);
}

}  // namespace text_program
