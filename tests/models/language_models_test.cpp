// SPDX-License-Identifier: MIT
// Models of text: what they make of ids, their gradients, and what is folded from them.

#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/testing/backward.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

template <class Model, class Options>
Model started(const Options& options, std::uint64_t seed = 1) {
  Model model(options);
  initialise(model, seed);
  for_each_parameter(  // so that no part is too small to matter
      [&](std::string_view, ParameterKind, auto& parameter) {
        Random random(seed);
        auto noise = parameter;
        random.fill_normal(noise);
        parameter += typename Model::Scalar(0.3) * noise;
      },
      model);
  return model;
}

template <class Options>
auto small_model(Options options) {
  options.vocabulary = 7;
  options.context = 6;
  options.depth = 2;
  options.block.dim = 4;
  options.block.heads = 2;
  return options;
}

template <class Block>
LanguageModel<Block> small_language_model(bool final_norm = true) {
  auto options = small_model(LanguageModelOptions<typename Block::Options>{});
  options.final_norm = final_norm;
  return started<LanguageModel<Block>>(options);
}

template <class Block>
MaskedLanguageModelOptions<typename Block::Options> small_masked_options(bool tied) {
  MaskedLanguageModelOptions<typename Block::Options> options;
  options.text = small_model(options.text);
  options.tied = tied;
  return options;
}

SentenceClassifierOptions<CrateBlockOptions> small_sentence_options(Pooling pooling) {
  SentenceClassifierOptions<CrateBlockOptions> options{.classes = 3, .pooling = pooling};
  options.text = small_model(options.text);
  return options;
}

template <class Model, class Input>
void check_gradient_of(const Model& model, const Input& input, const Run<double>& run = {}) {
  const auto finding = crate::testing::check_backward(model, input, {.step = 1e-5, .tolerance = 1e-7}, run);
  INFO(finding.report);
  CHECK(finding);
}

const std::vector<Index> nine_ids{3, 1, 1, 6, 0, 2, 3, 5, 4}, nine_types{0, 1, 1, 0, 0, 0, 1, 0, 1};

/// Sets of unequal length, the last two tokens of the second being padding.
TokenLayout unequal_sets() { return TokenLayout({2, 6, 1}).with_visible({2, 4, 1}); }

}  // namespace

TEST_CASE("language models of every block go backward, on sets of unequal length") {
  const TokenIds ids(nine_ids, TokenLayout({2, 6, 1}));
  check_gradient_of(small_language_model<CrateBlock<double>>(false), ids);
  check_gradient_of(small_language_model<OvercompleteBlock<double>>(), ids);
  check_gradient_of(small_language_model<CrateAlphaBlock<double>>(), ids);
  check_gradient_of(small_language_model<TransformerBlock<double>>(), ids);
  auto dropping = small_language_model<CrateBlock<double>>();
  dropping.tokens.dropout = 0.3;
  check_gradient_of(dropping, TokenIds(nine_ids, TokenLayout({2, 6, 1}).with_chosen({1, 5, 5})),
                    {.dropout = {.seed = 3, .step = 1}});
}

TEST_CASE("masked language models and sentence classifiers go backward, with padding, either decoder or pooling") {
  const TokenIds ids(nine_ids, unequal_sets(), nine_types);
  for (const bool tied : {true, false})
    check_gradient_of(started<CrateMaskedLanguageModel<double>>(small_masked_options<CrateBlock<double>>(tied)), ids);
  check_gradient_of(
      started<TransformerMaskedLanguageModel<double>>(small_masked_options<TransformerBlock<double>>(true)),
      TokenIds(nine_ids, unequal_sets().with_chosen({0, 8, 3})));
  for (const Pooling pooling : {Pooling::class_token, Pooling::mean})
    check_gradient_of(started<CrateSentenceClassifier<double>>(small_sentence_options(pooling)), ids);
}

namespace {

/// What a model makes of sets of ids side by side.
template <class Model>
Matrix<typename Model::Scalar> output_of(const Model& model, const std::vector<Index>& ids, const TokenLayout& layout,
                                         const std::vector<Index>& types = {}) {
  return model.forward(TokenIds(ids, layout, types));
}

template <class Model>
Matrix<typename Model::Scalar> output_of(const Model& model, const std::vector<Index>& ids) {
  return model.forward(TokenIds(ids));
}

/// Calls law(model) with a language model of each kind of block.
template <class Law>
void for_every_language_model(const Law& law) {
  law(small_language_model<CrateBlock<double>>(false));
  law(small_language_model<OvercompleteBlock<double>>());
  law(small_language_model<CrateAlphaBlock<double>>());
  law(small_language_model<TransformerBlock<double>>());
}

}  // namespace

TEST_CASE("a language model sees what came before and nothing that comes after") {
  for_every_language_model([](const auto& model) {
    const std::vector<Index> text{3, 1, 6, 0, 2};
    const auto logits = output_of(model, text);
    for (std::size_t length = 1; length < text.size(); ++length) {
      const std::vector<Index> beginning(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
      CHECK(relative_error(output_of(model, beginning), logits.leftCols(static_cast<Index>(length))) < 1e-13);
    }
    CHECK(relative_error(output_of(model, {2, 1, 6, 0, 2}).rightCols(1), logits.rightCols(1)) > 1e-4);
  });
}

TEST_CASE("texts side by side are what each is alone, and chosen tokens what they are among all") {
  for_every_language_model([](const auto& model) {
    const TokenLayout layout({2, 6, 1});
    const auto logits = output_of(model, nine_ids, layout);
    CHECK(relative_error(output_of(model, {3, 1}), logits.leftCols(2)) < 1e-13);
    CHECK(relative_error(output_of(model, {1, 6, 0, 2, 3, 5}), logits.middleCols(2, 6)) < 1e-13);
    CHECK(relative_error(output_of(model, {4}), logits.rightCols(1)) < 1e-13);
    const auto chosen = output_of(model, nine_ids, layout.with_chosen({8, 1}));
    CHECK(chosen.cols() == 2);
    CHECK(relative_error(chosen.col(0), logits.col(8)) < 1e-13);
    CHECK(relative_error(chosen.col(1), logits.col(1)) < 1e-13);
    CHECK(output_of(model, nine_ids, layout.with_chosen({})).cols() == 0);
  });
}

TEST_CASE("padding changes nothing for the tokens in front of it") {
  const auto model = started<CrateMaskedLanguageModel<double>>(small_masked_options<CrateBlock<double>>(true));
  const auto alone = output_of(model, {3, 1, 6}, TokenLayout::single(3), {0, 1, 1});
  const auto padded = output_of(model, {3, 1, 6, 1, 1}, TokenLayout::single(5).with_visible({3}), {0, 1, 1, 0, 0});
  CHECK(relative_error(padded.leftCols(3), alone) < 1e-13);
  const auto unpadded = output_of(model, {3, 1, 6, 1, 1}, TokenLayout::single(5), {0, 1, 1, 0, 0});
  CHECK(relative_error(unpadded.leftCols(3), alone) > 1e-4);
}

TEST_CASE("the class of a sentence is of its first token or of the mean of all, whatever pads it") {
  const std::vector<Index> sentence{3, 1, 6}, padded{3, 1, 6, 2, 5};
  for (const Pooling pooling : {Pooling::class_token, Pooling::mean}) {
    const auto model = started<CrateSentenceClassifier<double>>(small_sentence_options(pooling));
    const Matrix<double> tokens = output_of(model.text, sentence);
    const Vector<double> mean = tokens.rowwise().mean(), first = tokens.col(0);
    const Matrix<double> read = pooling == Pooling::mean ? mean : first;
    const Matrix<double> logits = output_of(model, sentence);
    CHECK(relative_error(logits, model.head.forward(read)) < 1e-13);
    CHECK(relative_error(output_of(model, padded, TokenLayout::single(5).with_visible({3})), logits) < 1e-13);
    CHECK(relative_error(output_of(model, padded), logits) > 1e-4);
  }
}

TEST_CASE("positions behind those of padding are RoBERTa's") {
  AddPositions<double> layer(1, 4, 2);
  layer.positions << 10, 20, 30, 40, 50, 60;
  const TokenLayout layout = TokenLayout({4, 2}).with_visible({2, 2});
  const auto placed = forward(layer, TokenSets<double>(Matrix<double>::Zero(1, 6), layout)).tokens;
  CHECK(placed == Matrix<double>{{30, 40, 20, 20, 30, 40}});
}

TEST_CASE("texts of one token, of none, as long as the context and longer") {
  for_every_language_model([](const auto& model) {
    CHECK(output_of(model, {5}).cols() == 1);
    CHECK(output_of(model, {}).cols() == 0);
    CHECK(output_of(model, {}).rows() == 7);
    CHECK(output_of(model, {0, 1, 2, 3, 4, 5}).cols() == model.context());
    CHECK(message_of<ShapeError>([&] {
            static_cast<void>(output_of(model, {0, 1, 2, 3, 4, 5, 6}));
          }) == "positions: expected at most 6 tokens in a set, the context of the model, found 7");
  });
}

TEST_CASE("ids that the model does not have are an error that names them and the size of the vocabulary") {
  const auto model = small_language_model<CrateBlock<double>>();
  CHECK(message_of<ShapeError>([&] {
          static_cast<void>(output_of(model, {0, 7}));
        }) == "token 1: expected an id from 0 to 6, as the vocabulary has 7, found 7");
  CHECK(message_of<ShapeError>([&] { static_cast<void>(output_of(model, {-1})); }) ==
        "token 0: expected an id from 0 to 6, as the vocabulary has 7, found -1");
  const auto masked = started<CrateMaskedLanguageModel<double>>(small_masked_options<CrateBlock<double>>(true));
  CHECK(message_of<ShapeError>([&] { static_cast<void>(output_of(masked, {0}, TokenLayout::single(1), {2})); }) ==
        "type of token 0: expected an id from 0 to 1, as the table of types has 2, found 2");
  CHECK(message_of<ShapeError>([&] {
          static_cast<void>(output_of(masked, {0, 1}, TokenLayout::single(2), {2}));
        }) == "token types: expected 2, found 1");
  CHECK(message_of<ShapeError>([&] {
          static_cast<void>(output_of(masked, {0, 1}, TokenLayout::single(3)));
        }) == "token ids: expected 3, found 2");
  CHECK(message_of<ShapeError>([&] { static_cast<void>(TokenLayout::single(2).with_chosen({2})); }) ==
        "chosen token: expected 0 to 1, found 2");
}

TEST_CASE("folded language models compute what the model computes") {
  const auto check_folded = [](const auto& model, const TokenLayout& layout, const std::vector<Index>& types) {
    const auto plain = output_of(model, nine_ids, layout, types);
    const auto folded = fold(model);
    CHECK(relative_error(output_of(folded, nine_ids, layout, types), plain) < 1e-12);
    CHECK(folded.output_dim() == model.output_dim());
    CHECK(folded.bytes_held() > 0);
    CHECK(!summary(folded, layout).empty());
    CHECK(!folded.formula("ids").empty());
    CHECK(folded.multiply_adds(layout) > 0);
  };
  for_every_language_model([&](const auto& model) {
    check_folded(model, TokenLayout({2, 6, 1}), {});
    check_folded(model, TokenLayout({2, 6, 1}).with_chosen({1, 7, 8}), {});
  });
  for (const bool tied : {true, false})
    check_folded(started<CrateMaskedLanguageModel<double>>(small_masked_options<CrateBlock<double>>(tied)),
                 unequal_sets(), nine_types);
  for (const Pooling pooling : {Pooling::class_token, Pooling::mean})
    check_folded(started<CrateSentenceClassifier<double>>(small_sentence_options(pooling)), unequal_sets(), nine_types);
}

TEST_CASE("a language model says what it computes") {
  const auto model = small_language_model<CrateBlock<float>>();
  CHECK(LanguageModel<CrateBlock<float>>({.vocabulary = 7, .context = 6, .depth = 1, .block = {.dim = 4, .heads = 2}})
            .formula("x") == "W^T ISTA(LN(W[x] + E + MSSA(LN(W[x] + E))))");
  const std::string table = summary(model, TokenLayout::single(6));
  CHECK_THAT(table, Catch::Matchers::ContainsSubstring("7 -> 4"));
  CHECK_THAT(table, Catch::Matchers::ContainsSubstring("4 -> 7"));
  const TokenLayout all = TokenLayout::single(6), one = all.with_chosen({5});
  CHECK(model.multiply_adds(all) - model.multiply_adds(one) == 5 * 4 * 7);
}

TEST_CASE("published language models have the published number of parameters") {
  const auto of_embeddings = [](const auto& o) { return o.block.dim * (o.vocabulary + o.context); };
  const auto count = [&]<class Model>(typename Model::Options o, std::type_identity<Model>) {
    const Index vocabulary = o.vocabulary, depth = o.depth;
    o.vocabulary = o.context = 1;  // what these take is added, and layers are counted one by one, to save memory
    o.depth = 1;
    const Index shallow = parameter_count(Model(o));
    o.depth = 2;
    const Index of_layer = parameter_count(Model(o)) - shallow;
    auto whole = o;
    whole.vocabulary = vocabulary;
    whole.context = 1024;
    return shallow + (depth - 1) * of_layer - of_embeddings(o) + of_embeddings(whole);
  };
  CHECK(count(presets::crate_gpt2_base(), std::type_identity<CrateLanguageModel<float>>()) == 60'699'648);
  CHECK(count(presets::gpt2(), std::type_identity<TransformerLanguageModel<float>>()) == 124'439'808);
  const auto millions = [](Index parameters) { return std::round(static_cast<double>(parameters) / 1e5) / 10; };
  using Overcomplete = std::type_identity<OvercompleteLanguageModel<float>>;
  CHECK(millions(count(presets::crate_lm_1(), Overcomplete())) == 27.4 + 0.5);
  CHECK(millions(count(presets::crate_lm_6(), Overcomplete())) == 60.7);
  CHECK(millions(count(presets::crate_lm_12(), Overcomplete())) == 81.9);
  using Alpha = std::type_identity<CrateAlphaLanguageModel<float>>;
  CHECK(millions(count(presets::crate_alpha_lm_small(), Alpha())) == 57.8);
  CHECK(parameter_count(CrateLanguageModel<float>(presets::small_text<CrateLanguageModel<float>>())) == 215'680);
  CHECK(parameter_count(OvercompleteLanguageModel<float>(presets::small_text<OvercompleteLanguageModel<float>>())) ==
        412'544);
  CHECK(parameter_count(TransformerLanguageModel<float>(presets::small_text<TransformerLanguageModel<float>>())) ==
        809'856);
}

TEST_CASE("language models start as published") {
  auto options = presets::small_text<TransformerLanguageModel<float>>();
  TransformerLanguageModel<float> model(options);
  initialise(model, 1);
  const auto deviation = [](const auto& matrix) {
    return std::sqrt(static_cast<double>(matrix.squaredNorm()) / static_cast<double>(matrix.size()));
  };
  const auto& block = model.encoder.layers.front();
  CHECK(std::abs(deviation(model.embedding.weight) - 0.02) < 5e-4);
  CHECK(std::abs(deviation(model.positions.positions) - 0.02) < 5e-4);
  CHECK(std::abs(deviation(block.attend.branch.layer.projection.weight) - 0.02) < 5e-4);
  CHECK(std::abs(deviation(block.attend.branch.layer.output.weight) - 0.02 / std::sqrt(8)) < 2e-4);
  CHECK(std::abs(deviation(block.transform.branch.layer.contract.weight) - 0.02 / std::sqrt(8)) < 2e-4);
  CHECK(block.transform.branch.layer.expand.bias.isZero(0));
  CHECK(block.attend.branch.norm.weight.isOnes(0));
  auto wide = model;
  initialise(wide, 1, 0.04);
  CHECK((wide.embedding.weight - 2 * model.embedding.weight).isZero(1e-7F));
  CHECK((wide.encoder.layers.front().attend.branch.layer.output.weight - 2 * block.attend.branch.layer.output.weight)
            .isZero(1e-7F));
  OvercompleteLanguageModel<float> overcomplete(presets::small_text<OvercompleteLanguageModel<float>>());
  initialise(overcomplete, 1);
  const auto& dictionary = overcomplete.encoder.layers.front().sparsify.layer.dictionary;
  CHECK(std::abs(deviation(dictionary) - std::sqrt(2.0 / 128)) < 2e-3);
  CHECK(dictionary.cwiseAbs().maxCoeff() <= static_cast<float>(std::sqrt(6.0 / 128)));
}

TEST_CASE("the objective takes the mean over the tokens that count, and computes no others") {
  const auto model = small_language_model<CrateBlock<double>>();
  const LabelledTokens some{nine_ids, TokenLayout({3, 6}), {-1, 2, -1, 4, -1, -1, 0, 6, -1}};
  using Model = LanguageModel<CrateBlock<double>>;
  const TokenPredictionObjective<Model> objective;
  Recording<Model> recording, all_recorded;
  Model gradient = zeros_like(model), expected = zeros_like(model);
  const auto measures = objective.accumulate(model, some, 0.5, gradient, recording, {});
  const Matrix<double> logits = forward(model, some.input(), all_recorded).tokens;
  backward(model, cross_entropy_gradient(logits, some.labels, 0.25), all_recorded, expected);
  for_each_parameter(
      [](std::string_view name, ParameterKind, const auto& found, const auto& right) {
        INFO(name);
        CHECK(relative_error(found, right) < 1e-12);
      },
      gradient, expected);
  CHECK(measures.loss.count == 4);
  CHECK(relative_error(measures.loss.mean(), cross_entropy(logits, some.labels).mean()) < 1e-14);
  CHECK(relative_error(measures.perplexity(), std::exp(measures.loss.mean())) < 1e-14);
  const LabelledTokens none{nine_ids, TokenLayout({3, 6}), std::vector<Index>(9, -1)};
  CHECK(objective.accumulate(model, none, 0.5, gradient, recording, {}).loss.count == 0);
  CHECK(objective.measure(model, none, {}).loss.count == 0);
}

TEST_CASE("cross-entropy in the place of logits is cross-entropy and its gradient") {
  Random random(4);
  const Matrix<double> logits = draw_normal(random, 5, 3);
  const std::vector<Index> labels{4, -1, 0};
  for (const double smoothing : {0.0, 0.3}) {
    const CrossEntropyOptions options{.label_smoothing = smoothing};
    Matrix<double> in_place = logits;
    Threads threads(2);
    const LossSum loss = cross_entropy_to_gradient(in_place, labels, 0.7, options, threads);
    CHECK(relative_error(loss.sum, cross_entropy(logits, labels, options).sum) < 1e-14);
    CHECK(loss.count == 2);
    CHECK(relative_error(in_place, cross_entropy_gradient(logits, labels, 0.7, options)) < 1e-14);
  }
}
