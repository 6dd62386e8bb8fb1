// SPDX-License-Identifier: MIT
// Folded models of every published family and size compute what the models compute, in float, double and bfloat16.

#include <cmath>
#include <span>
#include <string>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/inference/fold.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/presets.hpp"
#include "crate/models/summary.hpp"
#include "draw.hpp"
#include "models/published_fixture.hpp"
#include "models/synthetic_weights.hpp"

using namespace crate;
using namespace crate::test;

namespace {

/// The model with two blocks, few patches and few classes; its widths, heads and patches stay.
template <class Model>
Model shortened(typename Model::Options options, std::uint64_t seed = 1) {
  options.depth = 2;
  options.image.height = 2 * options.image.patch_height;
  options.image.width = options.image.patch_width;
  if constexpr (requires { options.classes; }) options.classes = 10;
  if constexpr (requires { options.decoder_depth; }) options.decoder_depth = 2;
  Model model(options);
  initialise(model, seed);
  Random random(seed, 7);
  for_each_parameter(
      [&](std::string_view name, ParameterKind, auto& parameter) {
        if (!name.ends_with("norm.weight") && !name.ends_with("norm.bias")) return;
        random.fill_uniform(parameter, -0.3, 0.3);
        if (name.ends_with("norm.weight")) parameter.array() += 1;
      },
      model);
  return model;
}

template <class S>
Matrix<S> draw_images(Index values, Index count) {
  Random random(3);
  return draw_normal(random, values, count).template cast<S>();
}

template <class Model>
void check_classifier(const typename Model::Options& options) {
  using S = typename Model::Scalar;
  for (const Pooling pooling : {Pooling::class_token, Pooling::mean}) {
    Model model = shortened<Model>(options);
    model.pool.pooling = pooling;
    const Matrix<S> images = draw_images<S>(patch_grid(model).values_per_image(), 3);
    const Matrix<S> expected = model.forward(images);
    CAPTURE(model.dim());
    CHECK(relative_error(fold(std::move(model)).forward(images), expected) < (std::is_same_v<S, float> ? 1e-5 : 1e-12));
  }
}

Index index_of_largest(const Vector<float>& logits) {
  Index index = 0;
  logits.maxCoeff(&index);
  return index;
}

template <class S>
typename CrateClassifier<S>::Options small_classifier() {
  return {.image = {.height = 12, .width = 8, .patch_height = 4, .patch_width = 4},
          .classes = 7,
          .depth = 3,
          .block = {.dim = 42, .heads = 6}};
}

}  // namespace

TEST_CASE("folded classifiers of all published sizes are the plain ones") {
  for (const auto& options :
       {presets::crate_tiny(), presets::crate_small(), presets::crate_base(), presets::crate_large(),
        presets::crate_tiny_8(), presets::crate_small_8(), presets::crate_base_8()})
    check_classifier<CrateClassifier<float>>(options);
}

TEST_CASE("folded alpha classifiers of all published sizes are the plain ones") {
  for (const auto& options :
       {presets::crate_alpha_base_32(), presets::crate_alpha_base_16(), presets::crate_alpha_base_8(),
        presets::crate_alpha_large_32(), presets::crate_alpha_large_14(), presets::crate_alpha_large_8()})
    check_classifier<CrateAlphaClassifier<float>>(options);
}

TEST_CASE("folded transformers of all published sizes are the plain ones") {
  for (const auto& options : {presets::vit_tiny(), presets::vit_small(), presets::vit_base()})
    check_classifier<TransformerClassifier<float>>(options);
}

TEST_CASE("folded masked autoencoders of all published sizes are the plain ones") {
  for (const auto& options :
       {presets::crate_mae_tiny(), presets::crate_mae_small(), presets::crate_mae_base(), presets::crate_mae_large()}) {
    const auto model = shortened<CrateMaskedAutoencoder<float>>(options);
    const Matrix<float> images = draw_images<float>(patch_grid(model).values_per_image(), 2);
    const Matrix<float> noise = draw_images<float>(patch_grid(model).patches(), 2);
    const auto folded = fold(model);
    const auto expected = autoencode(model, images, noise), found = autoencode(folded, images, noise);
    CHECK(relative_error(found.prediction, expected.prediction) < 1e-5);
    CHECK(relative_error(found.latent, expected.latent) < 1e-5);
    CHECK(found.mask == expected.mask);
    const auto parameters = static_cast<std::size_t>(parameter_count(model));
    CHECK(folded.bytes_held() < 6 * parameters);  // of which some are not used
    CHECK(!summary(folded, TokenLayout::equal(2, 1)).empty());
    CHECK(relative_error(found.loss.value(), expected.loss.value()) < 1e-5);
    CHECK(relative_error(autoencode(folded, images).prediction, autoencode(model, images).prediction) < 1e-5);
  }
}

TEST_CASE("folded models in double are the plain ones to the last digits") {
  check_classifier<CrateClassifier<double>>(
      {.image = {.patch_height = 5, .patch_width = 3}, .depth = 2, .block = {.dim = 30, .heads = 5}});
  check_classifier<CrateAlphaClassifier<double>>(
      {.image = {.patch_height = 5, .patch_width = 3}, .depth = 2, .block = {.dim = 30, .heads = 5}});
  check_classifier<TransformerClassifier<double>>(
      {.image = {.patch_height = 5, .patch_width = 3}, .depth = 2, .block = {.dim = 30, .heads = 5}});
  const auto model =
      shortened<TransformerMaskedAutoencoder<double>>({.image = {.patch_height = 5, .patch_width = 3},
                                                       .encoder = {.dim = 32, .heads = 4},
                                                       .decoder = {.dim = 32, .heads = 8, .hidden = 20}});
  const Matrix<double> images = draw_images<double>(patch_grid(model).values_per_image(), 2);
  const Matrix<double> noise = draw_images<double>(patch_grid(model).patches(), 2);
  CHECK(relative_error(autoencode(fold(model), images, noise).prediction, autoencode(model, images, noise).prediction) <
        1e-12);
}

TEST_CASE("bfloat16 weights change logits by less than 2 % of their spread, and not the largest") {
  const auto check = [](const auto& model) {
    const Matrix<float> images = draw_images<float>(patch_grid(model).values_per_image(), 4);
    const Matrix<float> expected = model.forward(images);
    const auto folded = fold<bfloat16>(model);
    const Matrix<float> found = folded.forward(images);
    CHECK(100 * folded.bytes_held() < 55 * fold(model).bytes_held());
    for (Index b = 0; b < images.cols(); ++b) {
      const double spread = expected.col(b).maxCoeff() - expected.col(b).minCoeff();
      CHECK((found.col(b) - expected.col(b)).cwiseAbs().maxCoeff() < 0.02 * spread);
      CHECK(index_of_largest(found.col(b)) == index_of_largest(expected.col(b)));
    }
    Threads threads(2);
    CHECK(folded.forward(images, {.threads = &threads}) == found);
  };
  check(shortened<CrateClassifier<float>>(presets::crate_tiny()));
  check(shortened<CrateAlphaClassifier<float>>(presets::crate_alpha_base_32()));
  check(shortened<TransformerClassifier<float>>(presets::vit_tiny()));
}

TEST_CASE("folded full-size models on synthetic weights have the published logits, with bfloat16 weights nearly so") {
  const auto check = [](const std::string& name, auto model, std::span<const PublishedName> names) {
    INFO(name);
    const TensorTable file = fixture("fullsize");
    const Vector<float> expected = vector_from<float>(file.at(name + "/logits"));
    const Matrix<float> image = synthetic_image(patch_grid(model).values_per_image());
    fill_synthetic(model, names);
    const Vector<float> rounded = fold<bfloat16>(model).forward(image), exact = fold(std::move(model)).forward(image);
    CHECK((exact - expected).cwiseAbs().maxCoeff() < 2e-4F);
    const double spread = expected.maxCoeff() - expected.minCoeff();
    CHECK((rounded - expected).norm() < 0.01 * spread * std::sqrt(static_cast<double>(expected.size())));
    CHECK((rounded - expected).cwiseAbs().maxCoeff() < 0.03 * spread);
    CHECK(expected.maxCoeff() - expected(index_of_largest(rounded)) < 0.001 * spread);  // CRATE-Base has two of a size
  };
  check("crate_base", CrateClassifier<float>(presets::crate_base()), crate_classifier_names);
  check("crate_alpha_base_16", CrateAlphaClassifier<float>(presets::crate_alpha_base_16()),
        crate_alpha_classifier_names);
}

TEST_CASE("a batch is its images one by one, on any number of threads") {
  CrateClassifier<float> model(small_classifier<float>());
  initialise(model, 1);
  const auto folded = fold(std::move(model));
  const Matrix<float> images = draw_images<float>(patch_grid(folded).values_per_image(), 5);
  const Matrix<float> together = folded.forward(images);
  for (const int count : {2, 3}) {
    Threads threads(count);
    CHECK(folded.forward(images, {.threads = &threads}) == together);
  }
  for (Index b = 0; b < images.cols(); ++b)
    CHECK(relative_error(folded.forward(images.col(b)), together.col(b)) < 1e-6);
  CHECK(folded.forward(images.leftCols(0)).cols() == 0);
}

TEST_CASE("images and logits of other sizes are refused") {
  CrateClassifier<float> model(small_classifier<float>());
  const auto folded = fold(std::move(model));
  CHECK_THROWS_AS(folded.forward(Matrix<float>::Zero(5, 1)), ShapeError);
  Matrix<float> logits(7, 1);
  CHECK_THROWS_AS(folded.forward(Matrix<float>::Zero(patch_grid(folded).values_per_image(), 2), logits), ShapeError);
}

TEST_CASE("with an observer the last block still computes every token") {
  CrateClassifier<float> model(small_classifier<float>());
  initialise(model, 1);
  const Matrix<float> images = draw_images<float>(patch_grid(model).values_per_image(), 2);
  const auto folded = fold(std::move(model));
  Index tokens = 0;
  const Observer<float> watch = [&](HalfStep<float> step) {
    if (step.name == "layers.2.sparsify") tokens = step.activation.cols();
  };
  const Matrix<float> observed = folded.forward(images, {.observer = watch});
  CHECK(tokens == 2 * 7);
  CHECK(relative_error(observed, folded.forward(images)) < 1e-5);
}
