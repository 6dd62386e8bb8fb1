// SPDX-License-Identifier: MIT

// Trains a model that predicts the next token on a text file: CRATE-GPT2, CRATE-LM, CRATE-alpha or GPT-2. With
// its defaults it reaches 2.17 nats per character on tinyshakespeare (1.1 million characters) in 2,000 steps.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <span>
#include <string>

#include "crate/models/presets.hpp"
#include "crate/training/text_windows.hpp"
#include "program_options/program_options.hpp"
#include "text_program/train.hpp"
#include "train_language_model/sample.hpp"

namespace {

using namespace crate;
using text_program::Options;

struct Program {
  using Families = LanguageModelFamilies;
  static constexpr bool predicts_every_token = true;

  train_language_model::SampleOptions sample;

  static auto& block_of(auto& options) { return options.block; }
  static auto& text_of(auto& model) { return model; }

  template <class Model>
  Model fresh_model(const Options& o, Index vocabulary) const {
    auto options = presets::small_text<Model>(vocabulary);
    options.context = o.context;
    options.depth = o.depth;
    options.token_dropout = o.token_dropout;
    options.block.dim = o.dim;
    options.block.heads = o.heads;
    options.block.dropout = o.dropout;
    if constexpr (requires { options.block.lambda; }) {
      options.block.step = o.step;
      options.block.lambda = o.lambda;
    }
    Model model(options);
    initialise(model, o.training.trainer.seed, text_program::start_deviation(o.start, o.dim));
    return model;
  }

  static TextWindows drawn(std::span<const TokenId> ids, const Options& o, const Tokeniser&) {
    return {ids, o.context, o.evaluate_every * o.training.trainer.batch};
  }
  static TextWindows spread(std::span<const TokenId> ids, const Options& o, const Tokeniser&, Index most) {
    return TextWindows::spread(ids, o.context, most);
  }
  void check(const Tokeniser& tokeniser) const { train_language_model::check_prompt(tokeniser, sample); }

  /// Prints a text that the model writes.
  template <class Model>
  void show(const Model& model, const Tokeniser& tokeniser, Index step, Threads& threads) const {
    train_language_model::print_sample(model, tokeniser, sample, static_cast<std::uint64_t>(step), threads);
  }
};

void add_options(CLI::App& app, Options& o, train_language_model::SampleOptions& sample) {
  o.family = "crate-gpt2";
  text_program::add_text_options(app, o);
  text_program::add_model_options(app, o, text_program::family_names<Program>());
  text_program::add_recipe_options(app, o);
  train_language_model::add_sample_options(app, sample);
  auto [changeable, paths, of_the_run] = text_program::continued_options();
  changeable.insert(changeable.end(), of_the_run.begin(), of_the_run.end());
  training_program::add_file_options(app, o.training, "measurement", changeable);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  Program program;
  CLI::App app(
      "Trains a language model (CRATE-GPT2, CRATE-LM, CRATE-alpha or GPT-2) on a text file. For example:\n"
      "train_language_model --text tinyshakespeare.txt --output model.safetensors\n");
  program_options::set_up(app, "train_language_model");
  add_options(app, options, program.sample);
  return training_program::on_all_ranks("train_language_model", options.training, [&] {
    return program_options::run(app, count, arguments, [&] {
      return text_program::run(program, app, options, [](CLI::App& defaults, Options& o) {
        train_language_model::SampleOptions sample;
        add_options(defaults, o, sample);
      });
    });
  });
}
