// SPDX-License-Identifier: MIT
// What objectives accumulate is the gradient of what they measure.

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

static_assert(
    Objective<ClassificationObjective<CrateClassifier<float>>, CrateClassifier<float>, LabelledImages<float>>);
static_assert(Objective<MaskedAutoencodingObjective<CrateMaskedAutoencoder<double>>, CrateMaskedAutoencoder<double>,
                        LabelledImages<double>>);

namespace {

const ImageOptions tiny_image{.height = 6, .width = 4, .channels = 2, .patch_height = 2, .patch_width = 2};

LabelledImages<double> draw_examples(Index count) {
  Random random(3);
  LabelledImages<double> examples{draw_normal(random, 48, count), {}};
  for (Index i = 0; i < count; ++i) examples.labels.push_back(random.below(3));
  return examples;
}

/// The slope of the measured loss along the accumulated gradient is the gradient's squared norm.
template <class Model, class O>
void check_slope(Model model, const O& objective) {
  initialise(model, 1);
  const LabelledImages<double> examples = draw_examples(5);
  const double weight = 0.3, step = 1e-5;
  Run<double> run;
  run.dropout = {.seed = 4, .step = 7, .first_set = 2};
  typename O::Memory memory;
  Model gradient = zeros_like(model);
  const auto sums = objective.accumulate(model, examples, weight, gradient, memory, run);
  CHECK(sums.loss.count == 5);
  CHECK(relative_error(objective.measure(model, examples, run).loss.sum, sums.loss.sum) < rounding<double>);
  const auto loss_at = [&](double along) {
    Model moved = model;
    for_each_parameter([&](std::string_view, ParameterKind, auto& p, const auto& g) { p += along * g; }, moved,
                       gradient);
    return weight * objective.measure(moved, examples, run).loss.sum;
  };
  Threads alone;
  const double norm = gradient_norm(gradient, alone);
  CHECK(norm > 1e-3);
  CHECK(relative_error((loss_at(step) - loss_at(-step)) / (2 * step), norm * norm) < 1e-6);
}

}  // namespace

TEST_CASE("classification accumulates the gradient of its cross-entropy") {
  check_slope(
      CrateClassifier<double>({.image = tiny_image, .classes = 3, .depth = 2, .block = {.dim = 12, .heads = 3}}),
      ClassificationObjective<CrateClassifier<double>>{{.label_smoothing = 0.1}});
}

TEST_CASE("masked autoencoding accumulates the gradient of its error, plain and normalised") {
  for (const bool normalise : {false, true})
    check_slope(CrateMaskedAutoencoder<double>({.image = tiny_image,
                                                .dim = 12,
                                                .heads = 3,
                                                .depth = 1,
                                                .decoder_depth = 1,
                                                .mask_ratio = 0.6,
                                                .normalise_pixels = normalise}),
                MaskedAutoencodingObjective<CrateMaskedAutoencoder<double>>());
}

TEST_CASE("masks depend on the place of an image in its batch and on the step alone") {
  CrateMaskedAutoencoder<double> model(
      {.image = tiny_image, .dim = 12, .heads = 3, .depth = 1, .decoder_depth = 1, .mask_ratio = 0.5});
  initialise(model, 1);
  const MaskedAutoencodingObjective<CrateMaskedAutoencoder<double>> objective;
  const LabelledImages<double> all = draw_examples(4);
  const auto loss = [&](Index first, Index count, std::uint64_t step) {
    Run<double> run;
    run.dropout = {.seed = 4, .step = step, .first_set = first};
    return objective.measure(model, {all.images.middleCols(first, count), {}}, run).loss.sum;
  };
  CHECK(relative_error(loss(0, 1, 0) + loss(1, 3, 0), loss(0, 4, 0)) < rounding<double>);
  CHECK(loss(0, 4, 1) != loss(0, 4, 0));
  model.about.mask_ratio = 0;
  CHECK(message_of<OptionError>([&] { (void)loss(0, 4, 0); }) ==
        "masked autoencoding: expected a mask ratio that hides a patch, found 0");
}

TEST_CASE("masked autoencoding measures the mean visible pixel beside its loss") {
  CrateMaskedAutoencoder<double> model(
      {.image = tiny_image, .dim = 12, .heads = 3, .depth = 1, .decoder_depth = 1, .mask_ratio = 0.5});
  initialise(model, 1);
  const LabelledImages<double> examples = draw_examples(4);
  const auto measures =
      MaskedAutoencodingObjective<CrateMaskedAutoencoder<double>>().measure(model, examples, Run<double>{});
  const Matrix<double> mask = mask_at(model, 4, {});
  const Matrix<double> target = cut_patches(examples.images, patch_grid(model), PatchOrder::row_column_channel);
  const double expected = mean_visible_pixel_error(target, mask, 2).mean();
  CHECK(mask.sum() == 4 * 3);
  CHECK(relative_error(measures.mean_pixel_loss(), expected) < rounding<double>);
  CHECK(relative_error(measures.loss_over_mean_pixel(), measures.loss.mean() / expected) < rounding<double>);
}

namespace {

/// Of how many parameters the objective does not tell that their gradient is complete. It tells of the others in the
/// order that ranks count on, and then leaves their gradient alone.
template <class Model, class O, class Examples>
std::size_t parameters_not_told(Model model, const O& objective, const Examples& examples) {
  static_assert(CallsBackwardOnce<O>);
  initialise(model, 1);
  Model gradient = zeros_like(model);
  const ConstParameterList expected = detail::list_as_completed(gradient);
  CHECK(expected.size() == list_parameters(gradient).size());
  std::vector<std::vector<double>> told;
  Run<double> run;
  run.on_complete = [&](const ConstParameterList& parameters) {
    for (const ConstParameter& parameter : parameters) {
      REQUIRE(parameter.data == expected[told.size()].data);
      const auto numbers = parameter.numbers<double>();
      told.emplace_back(numbers.begin(), numbers.end());
    }
  };
  typename O::Memory memory;
  objective.accumulate(model, examples, 1, gradient, memory, run);
  for (std::size_t i = 0; i < told.size(); ++i) {
    const auto numbers = expected[i].numbers<double>();
    CHECK(std::equal(numbers.begin(), numbers.end(), told[i].begin()));
  }
  return expected.size() - told.size();
}

LabelledTokens draw_tokens() {
  Random random(3);
  LabelledTokens tokens{.ids = {}, .layout = TokenLayout({5, 3}), .labels = {}};
  for (Index i = 0; i < 8; ++i) {
    tokens.ids.push_back(random.below(11));
    tokens.labels.push_back(random.below(11));
  }
  return tokens;
}

}  // namespace

TEST_CASE("objectives tell of a layer's gradient when nothing is added to it any more") {
  const CrateBlockOptions block{.dim = 12, .heads = 3};
  using Classifier = CrateClassifier<double>;
  CHECK(parameters_not_told(Classifier({.image = tiny_image, .classes = 3, .depth = 2, .block = block}),
                            ClassificationObjective<Classifier>(), draw_examples(2)) == 0);
  using Autoencoder = CrateMaskedAutoencoder<double>;
  CHECK(parameters_not_told(Autoencoder({.image = tiny_image, .dim = 12, .heads = 3, .depth = 1, .decoder_depth = 1}),
                            MaskedAutoencodingObjective<Autoencoder>(),
                            draw_examples(2)) == 3);  // those that are unused
  using Language = CrateLanguageModel<double>;
  CHECK(parameters_not_told(Language({.vocabulary = 11, .context = 5, .depth = 2, .block = block}),
                            TokenPredictionObjective<Language>(), draw_tokens()) == 0);
  using Masked = CrateMaskedLanguageModel<double>;
  CHECK(parameters_not_told(Masked({.text = {.vocabulary = 11, .context = 5, .depth = 2, .block = block}}),
                            TokenPredictionObjective<Masked>(), draw_tokens()) == 1);  // the bias of the tied decoder
}
