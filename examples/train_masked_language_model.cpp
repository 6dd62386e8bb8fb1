// SPDX-License-Identifier: MIT

// Trains CRATE-BERT, or the same model with ordinary transformer blocks, to predict the masked tokens of a text.
// classify_text can start from it. No official recipe is known; this is BERT's masking with the recipe of small texts.

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <tuple>

#include "crate/training/masked_text_windows.hpp"
#include "program_options/program_options.hpp"
#include "text_program/train.hpp"

namespace {

using namespace crate;
using text_program::Options;

struct Program {
  using Families = std::tuple<CrateMaskedLanguageModelFamily, TransformerMaskedLanguageModelFamily>;
  static constexpr bool predicts_every_token = false;

  double share = MaskingOptions().share;

  static auto& block_of(auto& options) { return options.text.block; }
  static auto& text_of(auto& model) { return model.text; }

  template <class Model>
  static Model fresh_model(const Options& o, Index vocabulary) {
    typename Model::Options options;
    options.text.vocabulary = vocabulary;
    options.text.context = o.context;
    options.text.depth = o.depth;
    options.text.token_dropout = o.token_dropout;
    auto& block = options.text.block;
    block.dim = o.dim;
    block.heads = o.heads;
    block.dropout = o.dropout;
    if constexpr (requires { block.lambda; }) {
      block.output_bias = false;
      block.step = o.step;
      block.lambda = o.lambda;
    }
    Model model(options);
    initialise(model, o.training.trainer.seed, text_program::start_deviation(o.start, o.dim));
    return model;
  }

  [[nodiscard]] MaskingOptions masking_of(const Tokeniser& tokeniser) const {
    const SpecialTokens special = tokeniser.special_tokens();
    return {.mask = special.mask.value(),
            .vocabulary = tokeniser.vocabulary_size(),
            .share = share,
            .begin = special.sentence_begin,
            .end = special.sentence_end};
  }

  [[nodiscard]] MaskedTextWindows drawn(std::span<const TokenId> ids, const Options& o,
                                        const Tokeniser& tokeniser) const {
    const MaskingOptions masking = masking_of(tokeniser);
    return {TextWindows(ids, o.context - masking.around(), o.evaluate_every * o.training.trainer.batch), masking};
  }
  [[nodiscard]] MaskedTextWindows spread(std::span<const TokenId> ids, const Options& o, const Tokeniser& tokeniser,
                                         Index most) const {
    const MaskingOptions masking = masking_of(tokeniser);
    return {TextWindows::spread(ids, o.context - masking.around(), most), masking};
  }

  static void check(const Tokeniser& tokeniser) {
    if (!tokeniser.special_tokens().mask)
      throw OptionError("option --tokeniser: expected a vocabulary with a token [MASK] or <mask>, found none");
  }

  static void show(const auto&, const Tokeniser&, Index, Threads&) {}
};

void add_options(CLI::App& app, Options& o, double& share) {
  o.family = "crate-bert";
  o.tokeniser.kind = "bert";
  o.tokeniser.special_tokens = text_program::special_tokens_of_masked_models();
  text_program::add_text_options(app, o);
  text_program::add_model_options(app, o, text_program::family_names<Program>());
  text_program::add_recipe_options(app, o);
  app.add_option("--mask-ratio", share,
                 "share of the tokens that is masked and predicted, in training and in measurements")
      ->check(CLI::Range(0.0, 1.0) & CLI::PositiveNumber);
  training_program::add_file_options(app, o.training, "measurement", text_program::continued_options().changeable);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  Program program, untouched;
  CLI::App app(
      "Trains a masked language model, CRATE-BERT or the same model with ordinary transformer blocks, on a text\n"
      "file; its encoder is a start for classify_text. For example:\n"
      "train_masked_language_model --text text.txt --learn-vocabulary 8000 --output bert.safetensors\n");
  program_options::set_up(app, "train_masked_language_model");
  add_options(app, options, program.share);
  return training_program::on_all_ranks("train_masked_language_model", options.training, [&] {
    return program_options::run(app, count, arguments, [&] {
      return text_program::run(program, app, options,
                               [&](CLI::App& defaults, Options& o) { add_options(defaults, o, untouched.share); });
    });
  });
}
