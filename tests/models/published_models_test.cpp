// SPDX-License-Identifier: MIT
// Whole models against numbers that the published code computed with the same weights.

#include <algorithm>
#include <cmath>
#include <string>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/io/families.hpp"
#include "crate/io/families/weights.hpp"
#include "crate/io/formats/safetensors.hpp"
#include "published_fixture.hpp"
#include "synthetic_weights.hpp"

using namespace crate;
using namespace crate::test;

TEST_CASE("the CRATE classifier has the published logits and activations") {
  const auto check = [](const std::string& name, Index heads, double tolerance, auto scalar) {
    using S = decltype(scalar);
    const TensorTable file = fixture(name), weights = parameters_in(file);
    const auto model =
        loaded<CrateClassifier<S>>(weights, crate_options(weights, {.heads = heads}), crate_classifier_names);
    Matrix<S> tokens;
    const Matrix<S> logits =
        model.forward(columns_from<S>(file.at("input/images")), {.observer = [&](HalfStep<S> step) {
                        if (step.name == "tokens") tokens = step.activation;
                      }});
    CHECK(relative_error(logits, tokens_from<S>(file.at("output/logits"))) < tolerance);
    CHECK(relative_error(tokens, tokens_from<S>(file.at("activation/tokens"))) < tolerance);
  };
  check("classifier_f64", 3, 1e-10, double{});
  check("classifier", 3, 1e-5, float{});
}

TEST_CASE("the CRATE-alpha classifier has the published logits") {
  const TensorTable file = fixture("alpha"), weights = parameters_in(file);
  const auto model = loaded<CrateAlphaClassifier<float>>(weights, crate_alpha_options(weights, {.heads = 3}),
                                                         crate_alpha_classifier_names);
  CHECK(relative_error(model.forward(columns_from<float>(file.at("input/images"))),
                       tokens_from<float>(file.at("output/logits"))) < 1e-5);
}

TEST_CASE("the masked autoencoder has the published mask, latent, prediction and loss") {
  const auto check = [](const std::string& name, LoadOptions options, double tolerance, auto scalar) {
    using S = decltype(scalar);
    const TensorTable file = fixture(name), weights = parameters_in(file);
    const auto model = loaded<CrateMaskedAutoencoder<S>>(weights, masked_autoencoder_options(weights, options),
                                                         masked_autoencoder_names);
    const Matrix<S> images = columns_from<S>(file.at("input/images"));
    const MaskedAutoencoding<S> result = autoencode(model, images, columns_from<S>(file.at("input/noise")));
    CHECK(result.mask == columns_from<S>(file.at("output/mask")));
    CHECK(relative_error(result.latent, tokens_from<S>(file.at("output/latent"))) < tolerance);
    CHECK(relative_error(result.prediction, tokens_from<S>(file.at("output/pred"))) < tolerance);
    REQUIRE(result.loss.has_value());
    CHECK(relative_error(*result.loss, scalar_from<double>(file.at("output/loss"))) < tolerance);
    const MaskedAutoencoding<S> unmasked = autoencode(model, images);
    CHECK(relative_error(unmasked.latent, tokens_from<S>(file.at("output/latent_unmasked"))) < tolerance);
    CHECK(!unmasked.loss.has_value());
  };
  check("mae_f64", {.heads = 2, .normalise_pixels = true}, 1e-10, double{});
  check("mae", {.heads = 3}, 1e-5, float{});
}

TEST_CASE("the published sizes have the published numbers of parameters") {
  CHECK(parameter_count(CrateClassifier<float>(presets::crate_tiny())) == 6'090'856);
  CHECK(parameter_count(CrateClassifier<float>(presets::crate_small())) == 13'116'328);
  CHECK(parameter_count(CrateClassifier<float>(presets::crate_base())) == 22'796'008);
  CHECK(parameter_count(CrateClassifier<float>(presets::crate_large())) == 77'641'192);
  CHECK(parameter_count(CrateClassifier<float>(presets::crate_tiny_8())) == 5'743'057);
  CHECK(parameter_count(CrateClassifier<float>(presets::crate_small_8())) == 14'118'097);
  CHECK(parameter_count(CrateClassifier<float>(presets::crate_base_8())) == 38'830'801);
  CHECK(parameter_count(CrateAlphaClassifier<float>(presets::crate_alpha_base_32())) == 73'985'512);
  CHECK(parameter_count(CrateAlphaClassifier<float>(presets::crate_alpha_base_16())) == 72'328'936);
  CHECK(parameter_count(CrateAlphaClassifier<float>(presets::crate_alpha_base_8())) == 72'338'152);
  CHECK(parameter_count(CrateAlphaClassifier<float>(presets::crate_alpha_large_32())) == 255'982'568);
  CHECK(parameter_count(CrateAlphaClassifier<float>(presets::crate_alpha_large_14())) == 253'650'920);
  CHECK(parameter_count(CrateAlphaClassifier<float>(presets::crate_alpha_large_8())) == 253'786'088);
  CHECK(parameter_count(CrateMaskedAutoencoder<float>(presets::crate_mae_tiny())) == 11'555'328);
  CHECK(parameter_count(CrateMaskedAutoencoder<float>(presets::crate_mae_small())) == 25'405'824);
  CHECK(parameter_count(CrateMaskedAutoencoder<float>(presets::crate_mae_base())) == 44'638'464);
  CHECK(parameter_count(CrateMaskedAutoencoder<float>(presets::crate_mae_large())) == 154'274'560);
}

namespace {

/// The logits of a full-size classifier on synthetic weights, within 2e-4 as the reference was computed in float, and
/// the fraction of zeros after every block.
template <class Model, class Options>
void check_full_size(const std::string& name, const Options& options, std::span<const PublishedName> names) {
  const TensorTable file = fixture("fullsize");
  Model model(options);
  crate::test::fill_synthetic(model, names);
  std::vector<double> zero_fraction;
  const Matrix<float> logits =
      model.forward(crate::test::synthetic_image(3 * 224 * 224), {.observer = [&](HalfStep<float> step) {
                      if (step.name.ends_with(".sparsify"))
                        zero_fraction.push_back(static_cast<double>((step.activation.array() == 0).count()) /
                                                static_cast<double>(step.activation.size()));
                    }});
  const Vector<float> expected = vector_from<float>(file.at(name + "/logits"));
  CHECK((logits - expected).cwiseAbs().maxCoeff() < 2e-4F);
  const Vector<double> zeros = vector_from<double>(file.at(name + "/zero_fraction"));
  REQUIRE(zeros.size() == static_cast<Index>(zero_fraction.size()));
  for (Index l = 0; l < zeros.size(); ++l)
    CHECK(std::abs(zero_fraction[static_cast<std::size_t>(l)] - zeros(l)) < 1e-4);
  CHECK(parameter_count(model) == integers_from(file.at(name + "/parameter_count"))[0]);
}

}  // namespace

TEST_CASE("full-size models on synthetic weights have the published logits") {
  check_full_size<CrateClassifier<float>>("crate_tiny", presets::crate_tiny(), crate_classifier_names);
  check_full_size<CrateClassifier<float>>("crate_small", presets::crate_small(), crate_classifier_names);
  check_full_size<CrateClassifier<float>>("crate_base", presets::crate_base(), crate_classifier_names);
  check_full_size<CrateAlphaClassifier<float>>("crate_alpha_base_16", presets::crate_alpha_base_16(),
                                               crate_alpha_classifier_names);
}

TEST_CASE("the full-size masked autoencoder on synthetic weights has the published prediction") {
  const TensorTable file = fixture("fullsize");
  CrateMaskedAutoencoder<float> model(presets::crate_mae_base());
  crate::test::fill_synthetic(model, masked_autoencoder_names);
  Matrix<float> noise(196, 1);
  for (Index i = 0; i < 196; ++i)
    noise(i, 0) = static_cast<float>((crate::test::synthetic_number("noise", static_cast<std::uint64_t>(i)) + 1) / 2);
  const auto result = autoencode(model, crate::test::synthetic_image(3 * 224 * 224), noise);
  CHECK(result.mask == vector_from<float>(file.at("crate_mae_base/mask")));
  CHECK(std::abs(*result.loss - scalar_from<double>(file.at("crate_mae_base/loss"))) < 1e-5 * *result.loss);
  CHECK(relative_error(result.prediction.leftCols(8), tokens_from<float>(file.at("crate_mae_base/pred"))) < 1e-4);
  CHECK(parameter_count(model) == integers_from(file.at("crate_mae_base/parameter_count"))[0]);
}

namespace {

/// Two by two patches through a model of a published size on synthetic weights, which keep values of unit order.
template <class Model>
void check_runs(typename Model::Options options, std::span<const PublishedName> names) {
  options.image.height = 2 * options.image.patch_height;
  options.image.width = 2 * options.image.patch_width;
  Model model(options);
  crate::test::fill_synthetic(model, names);
  const Matrix<float> images = crate::test::synthetic_image(patch_grid(model).values_per_image());
  Matrix<float> output;
  if constexpr (requires { model.pool.pooling; })
    output = model.forward(images);
  else
    output = autoencode(model, images).prediction;
  const double deviation = std::sqrt(output.cast<double>().squaredNorm() / static_cast<double>(output.size()));
  INFO(options.image.patch_height << " " << model.dim());
  CHECK(deviation > 0.5);
  CHECK(deviation < 2);
}

}  // namespace

TEST_CASE("full-size models of every published size run") {
  for (const auto& options :
       {presets::crate_tiny(), presets::crate_small(), presets::crate_base(), presets::crate_large(),
        presets::crate_tiny_8(), presets::crate_small_8(), presets::crate_base_8()})
    check_runs<CrateClassifier<float>>(options, crate_classifier_names);
  for (const auto& options :
       {presets::crate_alpha_base_32(), presets::crate_alpha_base_16(), presets::crate_alpha_base_8(),
        presets::crate_alpha_large_32(), presets::crate_alpha_large_14(), presets::crate_alpha_large_8()})
    check_runs<CrateAlphaClassifier<float>>(options, crate_alpha_classifier_names);
  for (const auto& options :
       {presets::crate_mae_tiny(), presets::crate_mae_small(), presets::crate_mae_base(), presets::crate_mae_large()})
    check_runs<CrateMaskedAutoencoder<float>>(options, masked_autoencoder_names);
}
