// SPDX-License-Identifier: MIT

// Trains a classifier of sentences, from scratch or from a masked language model, and classifies sentences with it.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <iostream>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "classify_text/options.hpp"
#include "classify_text/sentences.hpp"
#include "crate/core/detail/count_of.hpp"
#include "crate/io/load_model.hpp"
#include "crate/training/classification.hpp"
#include "crate/training/labelled_texts.hpp"
#include "crate/training/trainer.hpp"
#include "program_options/program_options.hpp"
#include "text_program/read_text.hpp"
#include "text_program/save.hpp"
#include "training_program/attention_dropout.hpp"
#include "training_program/run.hpp"

namespace {

using namespace crate;
using classify_text::Options;
using classify_text::Sentences;
using text_program::ChosenTokeniser;

using Classifiers = std::tuple<CrateSentenceClassifierFamily, TransformerSentenceClassifierFamily>;
using MaskedModels = std::tuple<CrateMaskedLanguageModelFamily, TransformerMaskedLanguageModelFamily>;

/// The ids of sentences, each between the tokens of its beginning and its end. Sentences that are too long are cut, and
/// counted on standard error.
std::vector<std::vector<TokenId>> encode(const std::vector<std::string>& texts, const Tokeniser& tokeniser,
                                         Index context, const std::string& path) {
  check_option(context >= 3, "context of the model >= 3, a token of a sentence between two others", context);
  const auto most = static_cast<std::size_t>(context - 2);
  std::size_t cut = 0;
  std::vector<std::vector<TokenId>> encoded;
  for (const std::string& text : texts) {
    std::vector<TokenId> ids = text_program::encode(tokeniser, text, path);
    if (ids.size() > most) ++cut;
    ids.resize(std::min(ids.size(), most));
    encoded.push_back(in_sentence(tokeniser, std::move(ids)));
  }
  if (cut > 0)
    std::cerr << "classify_text: " << path << ": " << cut << " of " << crate::detail::count_of(texts.size(), "sentence")
              << (cut == 1 ? " is" : " are") << " longer than " << crate::detail::count_of(most, "token")
              << ", which the model's context of " << context << " has room for: the rest is not read\n";
  return encoded;
}

/// Everything that a training works on but the model.
struct TrainingSetup {
  const Options& options;
  const Metadata& described_options;
  const Sentences &training, &test;
  std::vector<std::string> class_names;
  const ChosenTokeniser& chosen;
};

/// Throws OptionError if words are to be dropped and the tokeniser has no mask.
void set_word_dropout(LabelledTexts& texts, double share, const Tokeniser& tokeniser) {
  const auto mask = tokeniser.special_tokens().mask;
  if (share > 0 && !mask)
    throw OptionError(
        "option --word-dropout: expected a tokeniser with a token [MASK] or <mask>, found none in its "
        "vocabulary");
  texts.word_dropout = share;
  texts.mask = mask.value_or(0);
}

TrainerOptions trainer_options(const TrainingSetup& setup) {
  const training_program::Options& training = setup.options.training;
  return training_program::trainer_options(
      training, training_program::schedule_in_epochs(training, std::ssize(setup.training.texts)),
      setup.described_options);
}

/// What a checkpoint must agree in beside the trainer's own options.
Recipe recipe_of(const TrainingSetup& setup) {
  using crate::detail::exact_text;
  Recipe recipe;
  describe(recipe, training_program::optimiser_options(setup.options.training));
  recipe.emplace_back("label smoothing", exact_text(setup.options.training.label_smoothing));
  recipe.emplace_back("dropout", exact_text(setup.options.dropout));
  recipe.emplace_back("token dropout", exact_text(setup.options.token_dropout));
  recipe.emplace_back("vocabulary", exact_text(setup.chosen.tokeniser.vocabulary_size()));
  if (setup.options.word_dropout > 0) recipe.emplace_back("word dropout", exact_text(setup.options.word_dropout));
  return recipe;
}

/// What the first line was taken for.
void print_sentences(const char* part, const std::string& path, const Sentences& sentences) {
  std::printf(
      "%s sentences: %s, %s\n", part, quote(path).c_str(),
      sentences.header
          ? concatenate("without its header ", quote(*sentences.header), " (with --header no it is a sentence)").c_str()
          : "from its first line on");
}

void print_classes(const std::vector<std::string>& names) {
  constexpr std::size_t most = 10;
  std::string list;
  for (std::size_t c = 0; c < std::min(most, names.size()); ++c) list += (c > 0 ? ", " : "") + quote(names[c]);
  if (names.size() > most) list += concatenate(" and ", names.size() - most, " more");
  std::printf("classes: %s\n", list.c_str());
}

void print_heading() {
  std::printf("\n  epoch   training loss   training accuracy   test loss   test accuracy   seconds\n");
  std::fflush(stdout);
}

void print_epoch(const EpochReport<ClassificationMeasures>& report) {
  std::printf("  %5td   %13.4f   %15.2f %%   %9.4f   %11.2f %%   %7.1f\n", report.epoch, report.training.loss.mean(),
              100 * report.training.accuracy(), report.test.loss.mean(), 100 * report.test.accuracy(), report.seconds);
  std::fflush(stdout);
}

template <class Model>
int train(const TrainingSetup& setup, Model model) {
  const training_program::Options& o = setup.options.training;
  const Tokeniser& tokeniser = setup.chosen.tokeniser;
  text_program::check_vocabulary(tokeniser, model.vocabulary());
  model.about.class_names = setup.class_names;
  LabelledTexts training{encode(setup.training.texts, tokeniser, model.context(), setup.options.train),
                         classify_text::labels_of(setup.training, setup.class_names, setup.options.train)};
  set_word_dropout(training, setup.options.word_dropout, tokeniser);
  const LabelledTexts test{encode(setup.test.texts, tokeniser, model.context(), setup.options.test),
                           classify_text::labels_of(setup.test, setup.class_names, setup.options.test)};
  print_sentences("training", setup.options.train, setup.training);
  print_sentences("test", setup.options.test, setup.test);
  print_classes(setup.class_names);
  std::printf("%s, %td parameters; %td training and %s of %s\n", std::string(FamilyOf<Model>::name).c_str(),
              parameter_count(model), training.size(), crate::detail::count_of(test.size(), "test sentence").c_str(),
              crate::detail::count_of(model.output_dim(), "class").c_str());
  Threads threads(o.threads);
  auto state = training_program::first_state<ClassificationObjective<Model, LabelledTokens>>(
      std::move(model), o, {.loss = {.label_smoothing = o.label_smoothing}});
  Trainer trainer(state, training, test, trainer_options(setup), threads, recipe_of(setup));
  const auto begin = [&] {
    if (!o.checkpoint.empty() && o.trainer.ranks->is_first()) text_program::write_beside(o.checkpoint, setup.chosen);
    print_heading();
  };
  if (!training_program::run(trainer, state, o, training_program::length_in_epochs(o), begin, print_epoch,
                             text_program::SaveWithTokeniser{setup.chosen}))
    return training_program::interrupted;
  if (!o.output.empty())
    std::printf("\nweights written to %s, their tokeniser to %s\n", o.output.c_str(),
                text_program::tokeniser_folder(o.output).c_str());
  return 0;
}

Pooling pooling_of(const Options& o) { return o.pool == "mean" ? Pooling::mean : Pooling::class_token; }

/// Fills what the options say of a new encoder.
template <class Model>
Model fresh_model(const Options& o, Index vocabulary, Index classes) {
  typename Model::Options sizes{.classes = classes, .pooling = pooling_of(o)};
  sizes.text.vocabulary = vocabulary;
  sizes.text.context = o.context;
  sizes.text.depth = o.depth;
  sizes.text.token_dropout = o.token_dropout;
  sizes.text.block.dim = o.dim;
  sizes.text.block.heads = o.heads;
  sizes.text.block.dropout = o.dropout;
  if constexpr (requires { sizes.text.block.output_bias; }) sizes.text.block.output_bias = false;
  Model model(sizes);
  initialise(model, o.training.trainer.seed, text_program::start_deviation(o.start, o.dim));
  return model;
}

/// The encoder of a masked language model under a new head.
template <class Block>
SentenceClassifier<Block> with_new_head(MaskedLanguageModel<Block> model, const Options& o, Index classes) {
  SentenceClassifier<Block> classifier(std::move(model.text), classes, pooling_of(o));
  initialise(classifier.head, o.training.trainer.seed);
  training_program::set_attention_dropout(classifier.text.encoder.layers, o.dropout);
  classifier.text.tokens.dropout = o.token_dropout;
  return classifier;
}

/// The classifier that a new training begins with.
AnyModel<float, Classifiers> first_model(const Options& o, Index vocabulary, Index classes) {
  if (!o.from.empty())
    return std::visit(
        [&](auto masked) -> AnyModel<float, Classifiers> { return with_new_head(std::move(masked), o, classes); },
        load_model<float, MaskedModels>(o.from));
  if (o.family == CrateSentenceClassifierFamily::name)
    return fresh_model<CrateSentenceClassifier<float>>(o, vocabulary, classes);
  return fresh_model<TransformerSentenceClassifier<float>>(o, vocabulary, classes);
}

/// The tokeniser that a new training begins with.
ChosenTokeniser first_tokeniser(const Options& o, const Sentences& sentences) {
  if (o.tokeniser.learned == 0) return text_program::read_tokeniser(o.tokeniser, o.from);
  std::string text;
  for (const std::string& sentence : sentences.texts) text.append(sentence).append("\n");
  return text_program::learned_tokeniser(o.tokeniser, o.learned_kind(), text);
}

Metadata describe_options(const CLI::App& app, const Options& o) {
  return training_program::describe_options<Options>(app, classify_text::add_options,
                                                     classify_text::continued_options(),
                                                     [&](std::string_view name) { return o.why_without_effect(name); });
}

int run_training(CLI::App& app, Options& o) {
  auto begun = training_program::read_begun_training<Classifiers>(o.training);
  if (begun) training_program::complete_options(app, begun->notes, classify_text::continued_options());
  classify_text::check_options(app, o);
  const Metadata described = describe_options(app, o);
  const bool goes_on = begun && begun->model;
  const Sentences training = classify_text::read_labelled_sentences(o.train, o.header);
  const std::vector<std::string> names = classify_text::class_names_in(training);
  classify_text::check_classes(training, names, o.train);
  const Sentences test = classify_text::read_labelled_sentences(o.test, o.header, names);
  auto beside = goes_on ? text_program::read_beside(o.training.checkpoint) : std::nullopt;
  const ChosenTokeniser chosen = beside ? *std::move(beside) : first_tokeniser(o, training);
  auto model =
      goes_on ? *std::move(begun->model) : first_model(o, chosen.tokeniser.vocabulary_size(), std::ssize(names));
  return std::visit(
      [&](auto& own) {
        if (std::ssize(names) != own.output_dim())
          throw file_error(o.train, "expected sentences of the ", own.output_dim(), " classes of ",
                           quote(o.training.checkpoint), ", found ", names.size());
        return train(TrainingSetup{o, described, training, test, names, chosen}, std::move(own));
      },
      model);
}

/// The logits of sentences, classes x sentences.
template <class Model>
Matrix<float> logits_of(const Model& model, const std::vector<std::vector<TokenId>>& texts, Threads& threads) {
  constexpr Index at_a_time = 64;
  Matrix<float> logits(model.output_dim(), std::ssize(texts));
  const LabelledTexts source{texts, std::vector<Index>(texts.size())};
  for (Index first = 0; first < source.size(); first += at_a_time) {
    std::vector<Index> indices(static_cast<std::size_t>(std::min(at_a_time, source.size() - first)));
    std::iota(indices.begin(), indices.end(), first);
    const LabelledTokens piece = source.take(indices);
    logits.middleCols(first, std::ssize(indices)) = forward(model, piece.input(), {.threads = &threads}).tokens;
  }
  return logits;
}

/// "accuracy 93.10 % (931 of 1000 sentences)"
std::string accuracy_text(const Matrix<float>& logits, const std::vector<Index>& labels) {
  const Index correct = count_correct(logits, labels, 1, -1);
  std::array<char, 32> percent{};
  std::snprintf(percent.data(), percent.size(), "%.2f",
                100.0 * static_cast<double>(correct) / static_cast<double>(labels.size()));
  return concatenate("accuracy ", percent.data(), " % (", correct, " of ",
                     crate::detail::count_of(labels.size(), "sentence"), ")\n");
}

/// Prints the class of every sentence, how probable it is, and the sentence; if classes are given, also the accuracy,
/// on standard error.
template <class Model>
void classify(const Model& model, const Options& o, const Tokeniser& tokeniser, Threads& threads) {
  const std::string source = o.text == "-" ? "standard input" : o.text;
  const auto& names = model.about.class_names;
  const Sentences sentences =
      classify_text::sentences_in(lines_in(text_program::read_any_text(o.text)), source, o.header, names);
  const Matrix<float> logits = logits_of(model, encode(sentences.texts, tokeniser, model.context(), source), threads);
  for (std::size_t i = 0; i < sentences.texts.size(); ++i) {
    const auto own = logits.col(static_cast<Index>(i)).template cast<double>().eval();
    Index best = 0;
    const double largest = own.maxCoeff(&best), probability = 1 / (own.array() - largest).exp().sum();
    const std::string name = names.empty() ? std::to_string(best) : names[static_cast<std::size_t>(best)];
    std::printf("%s\t%.3f\t%s\n", name.c_str(), probability, sentences.texts[i].c_str());
  }
  if (sentences.classes.empty()) return;
  std::fflush(stdout);
  std::cerr << "classify_text: " << quote(source) << " has a class after each sentence: "
            << accuracy_text(logits, classify_text::labels_of(sentences, names, source));
}

/// Prints the share of the sentences that are classified right.
template <class Model>
void measure(const Model& model, const Options& o, const Tokeniser& tokeniser, Threads& threads) {
  const Sentences sentences = classify_text::read_labelled_sentences(o.test, o.header, model.about.class_names);
  if (sentences.header) print_sentences("test", o.test, sentences);
  const std::vector<Index> labels = classify_text::labels_of(sentences, model.about.class_names, o.test);
  const Matrix<float> logits = logits_of(model, encode(sentences.texts, tokeniser, model.context(), o.test), threads);
  std::printf("%s", accuracy_text(logits, labels).c_str());
}

int run_classifier(const CLI::App& app, const Options& o) {
  for (const CLI::Option* const option : app.get_options())
    if (option->count() > 0 &&
        !detail::is_among(std::array<std::string_view, 7>{"--weights", "--text", "--test", "--header", "--tokeniser",
                                                          "--vocabulary", "--threads"},
                          option->get_name()))
      throw OptionError(concatenate("option ", option->get_name(),
                                    " would have no effect: --weights gives a classifier that is used, not trained"));
  if (o.text.empty() == o.test.empty())
    throw OptionError(concatenate("options --text and --test: expected one of them with --weights, found ",
                                  o.text.empty() ? "neither" : "both"));
  const auto any_model = load_model<float, Classifiers>(o.weights);
  const ChosenTokeniser chosen = text_program::read_tokeniser(o.tokeniser, o.weights);
  Threads threads(o.training.threads);
  std::visit(
      [&](const auto& model) {
        text_program::check_vocabulary(chosen.tokeniser, model.vocabulary());
        o.text.empty() ? measure(model, o, chosen.tokeniser, threads) : classify(model, o, chosen.tokeniser, threads);
      },
      any_model);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Trains a classifier of sentences, CRATE or transformer, from scratch or from a masked language model; or, with\n"
      "--weights, classifies sentences. For example:\n"
      "  classify_text --train train.tsv --test dev.tsv --learn-vocabulary 8000 --output sentences.safetensors\n"
      "  classify_text --weights sentences.safetensors --text reviews.txt\n");
  program_options::set_up(app, "classify_text");
  classify_text::add_options(app, options);
  return training_program::on_all_ranks("classify_text", options.training, [&] {
    return program_options::run(app, count, arguments, [&] {
      return options.weights.empty() ? run_training(app, options) : run_classifier(app, options);
    });
  });
}
