// SPDX-License-Identifier: MIT
// What every layer of a model computes, measured while it runs.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/analysis/layer_metrics.hpp"
#include "crate/analysis/masks.hpp"
#include "crate/analysis/step_metrics.hpp"
#include "crate/analysis/token_features.hpp"
#include "crate/analysis/unit_use.hpp"
#include "crate/blocks/overcomplete_block.hpp"
#include "crate/blocks/strict_block.hpp"
#include "crate/blocks/white_box_block.hpp"
#include "crate/inference/generate.hpp"
#include "crate/io/families/crate_alpha_classifier.hpp"
#include "crate/io/families/crate_classifier.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/language_model.hpp"
#include "crate/models/transformer.hpp"
#include "draw.hpp"
#include "models/published_fixture.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Approx;

namespace {

template <template <class> class Meter, class Model>
inline constexpr bool keeps_temporary = std::constructible_from<Meter<double>, Model>;
template <template <class> class Meter, class Model>
inline constexpr bool keeps_named = std::constructible_from<Meter<double>, const Model&>;
static_assert(keeps_named<LayerMeter, CrateClassifier<double>> &&
              !keeps_temporary<LayerMeter, CrateClassifier<double>>);
static_assert(keeps_named<StepMeter, CrateClassifier<double>> && !keeps_temporary<StepMeter, CrateClassifier<double>>);

template <class Classifier>
Classifier small_classifier(Index dim = 12, Index head_dim = 0) {
  typename Classifier::Options options;
  options.image = {.height = 8, .width = 12, .channels = 1, .patch_height = 4, .patch_width = 4};
  options.classes = 3;
  options.depth = 2;
  options.block.dim = dim;
  options.block.heads = 3;
  if constexpr (requires { options.block.head_dim; }) options.block.head_dim = head_dim;
  Classifier model(options);
  initialise(model, 1);
  return model;
}

LanguageModel<OvercompleteBlock<double>> small_language_model() {
  LanguageModelOptions<OvercompleteBlockOptions> options;
  options.vocabulary = 11;
  options.context = 16;
  options.depth = 2;
  options.block.dim = 12;
  options.block.heads = 3;
  LanguageModel<OvercompleteBlock<double>> model(options);
  initialise(model, 1);
  return model;
}

/// Ordinary attention in front of MSSA.
struct MixedBlocks : Chain<MixedBlocks, double> {
  TransformerBlock<double> first{{.dim = 6, .heads = 2}};
  CrateBlock<double> second{{.dim = 6, .heads = 2}};

  static constexpr auto parts() {
    return std::tuple{part("first", &MixedBlocks::first), part("second", &MixedBlocks::second)};
  }
};

/// All half-steps of a pass, by name.
template <class Model, class Input>
std::map<std::string, Matrix<double>> half_steps(const Model& model, const Input& input) {
  std::map<std::string, Matrix<double>> steps;
  (void)model.forward(input,
                      {.observer = [&](HalfStep<double> step) { steps[std::string(step.name)] = step.activation; }});
  return steps;
}

template <class Model>
void check_published(const std::string& name, const Model& model, double tolerance) {
  using S = typename Model::Scalar;
  const TensorTable file = fixture(name);
  const Matrix<S> images = columns_from<S>(file.at("input/images"));
  LayerMeter<S> meter(model);
  const Matrix<S> logits = model.forward(images, {.observer = meter.observer()});
  CHECK(logits == model.forward(images));
  const auto mean = vector_from<S>(file.at("metric/coding_rate_mean")),
             deviation = vector_from<S>(file.at("metric/coding_rate_std")),
             zeros = vector_from<S>(file.at("metric/zero_fraction"));
  REQUIRE(std::ssize(meter.layers()) == mean.size());
  for (Index l = 0; l < mean.size(); ++l) {
    const LayerMetrics& layer = meter.layers()[static_cast<std::size_t>(l)];
    CHECK(layer.name == concatenate("layers.", l, ".compress"));
    CHECK(relative_error(layer.before.published_rate.mean(), static_cast<double>(mean(l))) < tolerance);
    CHECK(relative_error(layer.before.published_rate.deviation(), static_cast<double>(deviation(l))) < 1e3 * tolerance);
    CHECK(std::abs(1 - layer.after.non_zero.mean() - static_cast<double>(zeros(l))) < tolerance);
  }
}

}  // namespace

TEST_CASE("coding rates and zero fractions are those of the published code") {
  const auto crate_model = [](const std::string& name, auto scalar) {
    const TensorTable weights = parameters_in(fixture(name));
    return loaded<CrateClassifier<decltype(scalar)>>(weights, crate_options(weights, {.heads = 3}),
                                                     crate_classifier_names);
  };
  check_published("classifier_f64", crate_model("classifier_f64", double{}), 1e-10);
  check_published("classifier", crate_model("classifier", float{}), 1e-5);
  const TensorTable weights = parameters_in(fixture("alpha"));
  check_published("alpha",
                  loaded<CrateAlphaClassifier<float>>(weights, crate_alpha_options(weights, {.heads = 3}),
                                                      crate_alpha_classifier_names),
                  1e-5);
}

TEST_CASE("what is measured is the forward pass, bit for bit, and the paper's rates of it") {
  const auto model = small_classifier<CrateClassifier<double>>();
  Random random(2);
  const Matrix<double> images = draw_normal(random, 96, 3);
  const auto steps = half_steps(model, images);
  const TokenLayout layout = TokenLayout::equal(3, 7);
  const CrateBlock<double>& block = model.encoder.layers[0];
  const TokenSets<double> entering(steps.at("tokens"), layout), half = forward(block.compress, entering);
  CHECK(steps.at("layers.0.compress") == half.tokens);
  CHECK(steps.at("layers.0.sparsify") == forward(block.sparsify, half).tokens);

  LayerMeter meter(model, {.epsilon = 0.3, .lambda = 0.2}), of_published(model, {.paper_rates = false});
  for (Index b = 0; b < 3; ++b) {
    const Matrix<double> image = images.col(b);
    (void)model.forward(image, {.observer = meter.observer()});
    (void)model.forward(image, {.observer = of_published.observer()});
  }
  const LayerMetrics& layer = meter.layers()[0];
  Spread rate, subspace_rate, objective, head;
  const PreNorm<Mssa<double>>& mssa = block.compress.branch;
  for (Index b = 0; b < 3; ++b) {
    const Matrix<double> z = half.tokens.middleCols(7 * b, 7);
    const Matrix<double> x = layer_norm(z, mssa.norm.weight, mssa.norm.bias, mssa.norm.options);
    rate.add(coding_rate(x, {.epsilon = 0.3}));
    subspace_rate.add(subspace_coding_rate(x, mssa.layer.subspaces, {.epsilon = 0.3}));
    objective.add(rate_reduction(x, mssa.layer.subspaces, {.epsilon = 0.3}) -
                  0.2 * static_cast<double>((z.array() != 0).count()));
    head.add(coding_rate(mssa.layer.subspaces.basis(1).transpose() * x, {.epsilon = 0.3}));
  }
  CHECK(layer.between.rate.count() == 3);
  CHECK(layer.between.rate.mean() == Approx(rate.mean()).epsilon(1e-10));
  CHECK(layer.between.rate.deviation() == Approx(rate.deviation()).epsilon(1e-8));
  CHECK(layer.between.subspace_rate.mean() == Approx(subspace_rate.mean()).epsilon(1e-10));
  CHECK(layer.between.objective.mean() == Approx(objective.mean()).epsilon(1e-10));
  CHECK(layer.between.head_rates[1].mean() == Approx(head.mean()).epsilon(1e-10));
  const TokenMetrics& alone = of_published.layers()[0].between;
  CHECK(alone.published_rate.mean() == layer.between.published_rate.mean());
  CHECK(alone.non_zero.mean() == layer.between.non_zero.mean());
  CHECK(alone.rate.count() + alone.objective.count() + alone.head_rates[1].count() == 0);
}

TEST_CASE("of a strict block the objective is that of its tokens, and its exact step lowers the rate") {
  StrictBlock<double> block({.dim = 6, .heads = 2, .ista = {.lambda = 0.01}});
  initialise(block, 1);
  Random random(3);
  const TokenSets<double> sets(draw_normal(random, 6, 9), TokenLayout({4, 5}).with_visible({4, 3}));
  LayerMeter meter(block);
  CHECK(message_of<OptionError>([&] { (void)block.forward(sets, {.observer = meter.observer()}); }) ==
        "layer meter: expected a call of enter(tokens) before this pass of a block or stack, whose first half-step is "
        "'compress.projection', found none");
  meter.enter(sets.tokens);
  (void)block.forward(sets, {.observer = meter.observer()});
  const LayerMetrics& layer = meter.layers()[0];
  Spread expected;
  for (Index s = 0; s < 2; ++s)
    expected.add(sparse_rate_reduction(sets.tokens.middleCols(4 * s, 4 - s), block.compress.subspaces));
  CHECK(layer.before.objective.mean() == Approx(expected.mean()).epsilon(1e-10));
  CHECK(layer.between.subspace_rate.mean() < layer.before.subspace_rate.mean());
  CHECK(layer.after.non_zero.mean() < 1);
}

TEST_CASE("the tokens behind an overcomplete block are measured, though its codes have another size") {
  const auto model = small_language_model();
  LayerMeter<double> meter(model);
  (void)model.forward(TokenIds(std::vector<Index>{3, 1, 4}), {.observer = meter.observer()});
  for (const LayerMetrics& layer : meter.layers()) {
    CHECK(layer.after.is_measured());
    CHECK(layer.code_non_zero.count() == 1);
  }
}

TEST_CASE("a layer that an inverse runs several times is measured once a pass, on the tokens that come to it") {
  WhiteBoxDecoderBlock<double> block({.layers = {.dim = 6, .heads = 2}, .inverse = {.iterations = 3}});
  initialise(block, 1);
  Random random(3);
  const TokenSets<double> sets(draw_normal(random, 6, 9), TokenLayout({4, 5}));
  LayerMeter<double> meter(block);
  Matrix<double> expanded;
  for (int pass = 1; pass <= 2; ++pass) {
    meter.enter(sets.tokens);
    (void)block.forward(sets, {.observer = [&](HalfStep<double> step) {
                          meter.see(step);
                          if (step.name == "expand") expanded = step.activation;
                        }});
    CHECK(meter.layers()[0].before.rate.count() == 2 * pass);
    CHECK(meter.layers()[0].between.rate.count() == 2 * pass);
  }
  const Matrix<double> x = directions(expanded);
  const double mean = (coding_rate(x.leftCols(4)) + coding_rate(x.rightCols(5))) / 2;
  CHECK(meter.layers()[0].before.rate.mean() == Approx(mean).epsilon(1e-10));
}

TEST_CASE("layers with subspaces come in the model's order, whatever they are made of") {
  const MixedBlocks blocks;
  std::vector<std::string> names;
  for (const auto& layer : layer_subspaces(blocks)) names.push_back(layer.name);
  CHECK(names == std::vector<std::string>{"first.attend", "second.compress"});
}

TEST_CASE("the step of a layer on directions is by how much these move, of others what they add") {
  Random random(8);
  const Matrix<double> before = draw_normal(random, 6, 4), after = draw_normal(random, 6, 4);
  Threads alone;
  const WhiteBoxBlock<double> on_directions({.layers = {.dim = 6, .heads = 2}});
  CHECK(layer_subspaces(on_directions)[0].step(before, after, alone) == directions(after) - directions(before));
  const MixedBlocks blocks;
  for (const auto& layer : layer_subspaces(blocks)) CHECK(layer.step(before, after, alone) == after - before);
}

TEST_CASE("tokens of zeros have no rate and no entries") {
  const StrictBlock<double> block({.dim = 6, .heads = 2});
  LayerMeter<double> meter(block);
  const Matrix<double> zeros = Matrix<double>::Zero(6, 4);
  meter.enter(zeros);
  (void)block.forward(zeros, {.observer = meter.observer()});
  CHECK(meter.layers()[0].before.objective.mean() == 0);
  CHECK(meter.layers()[0].after.published_rate.mean() == 0);
  CHECK(meter.layers()[0].after.non_zero.mean() == 0);
}

TEST_CASE("a transformer is measured in the basis of its keys") {
  const auto model = small_classifier<TransformerClassifier<double>>();
  Random random(4);
  const Matrix<double> images = draw_normal(random, 96, 1);
  LayerMeter<double> meter(model);
  (void)model.forward(images, {.observer = meter.observer()});
  REQUIRE(meter.layers().size() == 2);
  const LayerMetrics& layer = meter.layers()[1];
  CHECK(layer.name == "layers.1.attend");
  const Matrix<double> keys = half_steps(model, images).at("layers.1.attend.projection").middleRows(12, 12);
  CHECK(layer.before.published_rate.mean() == Approx(projected_coding_rate(keys, 3)).epsilon(1e-10));
  CHECK(layer.after.is_measured());
  CHECK(layer.code_non_zero.count() == 1);
}

TEST_CASE("steps of a classifier are compared with exact ones, layer by layer") {
  const auto model = small_classifier<CrateClassifier<double>>();
  Random random(5);
  const Matrix<double> images = draw_normal(random, 96, 2);
  StepMeter<double> meter(model);
  (void)model.forward(images, {.observer = meter.observer()});
  const auto steps = half_steps(model, images);
  const Matrix<double> added = steps.at("layers.1.compress") - steps.at("layers.0.sparsify");
  const PreNorm<Mssa<double>>& mssa = model.encoder.layers[1].compress.branch;
  const Matrix<double> x =
      layer_norm(steps.at("layers.0.sparsify"), mssa.norm.weight, mssa.norm.bias, mssa.norm.options);
  Spread cosine;
  for (Index b = 0; b < 2; ++b)
    cosine.add(
        compare_with_exact_step(x.middleCols(7 * b, 7), mssa.layer.subspaces, added.middleCols(7 * b, 7)).cosine);
  CHECK(meter.layers()[1].cosine.mean() == Approx(cosine.mean()).epsilon(1e-8));
  CHECK(meter.layers()[1].exact_change.mean() < 0);
}

TEST_CASE("a meter of one model refuses the pass of another whose tokens or subspaces have other sizes") {
  const auto model = small_classifier<CrateClassifier<double>>();
  Random random(5);
  const Matrix<double> images = draw_normal(random, 96, 2);
  LayerMeter<double> meter(model);
  StepMeter<double> step_meter(model);
  const auto refusal = [&](const auto& other, auto& of_model) {
    return message_of<ShapeError>([&] { (void)other.forward(images, {.observer = of_model.observer()}); });
  };
  const auto narrow = small_classifier<CrateClassifier<double>>(6),
             wide = small_classifier<CrateClassifier<double>>(24);
  CHECK(refusal(narrow, meter) == "layers.0.compress: rows of the tokens: expected 12, found 6");
  CHECK(refusal(wide, meter) == "layers.0.compress: rows of the tokens: expected 12, found 24");
  CHECK(refusal(narrow, step_meter) == "layers.0.compress: input tokens: expected 12 x 14, found 6 x 14");
  CHECK(refusal(small_classifier<CrateClassifier<double>>(12, 2), meter) ==
        "layers.0.compress.projection: rows: expected 12, found 6");
  CHECK(refusal(small_classifier<CrateClassifier<double>>(12, 5), meter) ==
        "layers.0.compress.projection: rows: expected 12, found 15");
}

TEST_CASE("the attention of a query is that of the pass, at the size of the training images and at larger ones") {
  const auto check = [](auto model, const std::string& layer) {
    Random random(6);
    for (const Index scale : {1, 2}) {
      model.resize_images(8 * scale, 12 * scale);
      const Matrix<double> images = draw_normal(random, 96 * scale * scale, 2);
      Matrix<double> shown;
      (void)model.forward(images, {.observer =
                                       [&](HalfStep<double> step) {
                                         if (step.name == layer + ".attention") shown = step.activation;
                                       },
                                   .shows_attention = true});
      const TokenFeatures<double> features = token_features(model, images, layer);
      const Index tokens = 1 + 6 * scale * scale;
      const Vector<double> attention = attention_of(features, 1, 2, 4);
      CHECK(relative_error(attention, shown.col(tokens + 4).segment(2 * tokens, tokens)) < 1e-12);
      CHECK(at_image_resolution(over_patches(attention, 2 * scale, 3 * scale), patch_grid(model)).cols() == 12 * scale);
      CHECK(features.patch_keys(1) == features.keys.rightCols(tokens - 1));
    }
    CHECK(message_of<OptionError>([&] { (void)token_features(model, Matrix<double>(384, 1), "layers.2"); }) ==
          "attention layer: expected one of 'layers.0." + layer.substr(9) + "' and '" + layer + "', found 'layers.2'");
  };
  check(small_classifier<CrateClassifier<double>>(), "layers.1.compress");
  check(small_classifier<TransformerClassifier<double>>(), "layers.1.attend");
  const StrictBlock<double> strict({.dim = 6, .heads = 2});
  CHECK(message_of<OptionError>([&] { (void)token_features(strict, Matrix<double>(6, 1), "compress"); }) ==
        "attention layer: expected one of none, found 'compress'");
}

TEST_CASE("a causal query sees no token behind it, and heads and tokens that are not there are refused") {
  const auto model = small_language_model();
  const std::vector<Index> ids{3, 1, 4, 1, 5};
  const auto features = token_features(model, TokenIds(ids), "layers.0.compress");
  const Vector<double> attention = attention_of(features, 0, 0, 2);
  CHECK(attention.sum() == Approx(1));
  CHECK(attention.tail(2).isZero(0));
  CHECK_THROWS_AS(attention_of(features, 1, 0, 0), OptionError);
  CHECK_THROWS_AS(attention_of(features, 0, 3, 0), OptionError);
  CHECK_THROWS_AS(attention_of(features, 0, 0, 5), OptionError);
}

TEST_CASE("a model lists its attention layers and its units, under the names that observers see") {
  const auto model = small_language_model();
  REQUIRE(attention_layers(model).size() == 2);
  CHECK(attention_layers(model)[1].name == "layers.1.compress");
  CHECK(attention_layers(model)[1].attention.mask == AttentionMask::causal);
  REQUIRE(layer_units(model).size() == 2);
  CHECK(layer_units(model)[1].half_step == "layers.1.sparsify.codes");
  CHECK(layer_units(model)[1].units == 48);
  const auto transformer = small_classifier<TransformerClassifier<double>>();
  const AttentionLayer attend = attention_layers(transformer)[0];
  CHECK(attend.first_key == attend.width);
  Random random(7);
  const auto steps = half_steps(transformer, draw_normal(random, 96, 1));
  for (const LayerUnits& layer : layer_units(transformer)) CHECK(steps.at(layer.half_step).rows() == layer.units);
}

TEST_CASE("a unit is told how often it fires and for which tokens it is largest, over all batches") {
  const auto model = small_language_model();
  const std::string codes = "layers.1.sparsify.codes";
  const std::vector<Index> first{3, 1, 4, 1, 5, 9}, second{2, 6, 5, 3};
  UnitMeter<double> meter(codes, 3);
  std::vector<Matrix<double>> seen;
  for (const auto& ids : {first, second}) {
    (void)model.forward(TokenIds(ids), {.observer = meter.observer()});
    seen.push_back(half_steps(model, TokenIds(ids)).at(codes));
  }
  REQUIRE(meter.units() == 48);
  Matrix<double> all(48, 10);
  all << seen[0], seen[1];
  Index unit = 0;
  (all.array() != 0).cast<int>().rowwise().sum().maxCoeff(&unit);
  const auto firings = static_cast<double>((all.row(unit).array() != 0).count());
  REQUIRE(firings >= 3);
  CHECK(meter.firing_rate(unit) == Approx(firings / 10));
  std::vector<double> values(10);
  Matrix<double>::Map(values.data(), 1, 10) = all.row(unit);
  std::sort(values.rbegin(), values.rend());
  const std::vector<UnitUse> uses = meter.largest(unit);
  REQUIRE(uses.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(uses[i].value == values[i]);
    CHECK(seen[static_cast<std::size_t>(uses[i].set)](unit, uses[i].token) == values[i]);
  }
  CHECK_THROWS_AS(meter.firing_rate(48), OptionError);
  UnitMeter<double> other("layers.7");
  (void)model.forward(TokenIds(first), {.observer = other.observer()});
  CHECK_THAT(message_of<OptionError>([&] { (void)other.units(); }),
             Catch::Matchers::ContainsSubstring("'layers.1.sparsify'") &&
                 Catch::Matchers::ContainsSubstring("found 'layers.7'"));
  CHECK_THROWS_AS(model.forward(TokenIds(second), {.observer = other.observer()}), OptionError);
}

TEST_CASE("a unit that is set changes what follows, and what a language model writes") {
  const auto model = small_language_model();
  const std::vector<Index> ids{3, 1, 4};
  const std::string codes = "layers.1.sparsify.codes";
  const Matrix<double> steered = forward_steered(model, TokenIds(ids), codes, 5, 2.5);
  Matrix<double> set = half_steps(model, TokenIds(ids)).at(codes);
  set.row(5).setConstant(2.5);
  const OvercompleteIsta<double>& ista = model.encoder.layers[1].sparsify.layer;
  CHECK(relative_error(steered, model.embedding.weight.transpose() * (ista.dictionary * set)) < 1e-12);

  Index favoured = 0;
  (model.embedding.weight.transpose() * ista.dictionary.col(5)).maxCoeff(&favoured);
  Steering<double> steering(codes, 5, 1e6);
  const auto written =
      generate(model, {ids}, {.tokens = 4, .sampling = {.temperature = 0}}, {.observer = steering.observer()});
  steering.check_happened();
  CHECK(written[0] == std::vector<Index>(4, favoured));
  CHECK_THROWS_AS(forward_steered(model, TokenIds(ids), "layers.1", 5, 1), OptionError);
  Steering<double> misnamed("layers.1", 5, 1);
  CHECK_THROWS_AS(generate(model, {ids}, {.tokens = 4}, {.observer = misnamed.observer()}), OptionError);
  CHECK_THROWS_AS(forward_steered(model, TokenIds(ids), codes, 48, 1), OptionError);
}
