// SPDX-License-Identifier: MIT
// Gradients of whole models against those that the published code computed with the same weights.

#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/io/families.hpp"
#include "crate/testing/backward.hpp"
#include "draw.hpp"
#include "published_fixture.hpp"

using namespace crate;
using namespace crate::test;

namespace {

std::vector<Index> labels_in(const TensorTable& file) {
  const auto labels = integers_from(file.at("input/labels"));
  return {labels.begin(), labels.end()};
}

/// Every trainable parameter's gradient is that under "grad/", and there is none beside.
template <class Model>
void check_gradients(const Model& gradient, std::span<const PublishedName> names, const TensorTable& file,
                     double tolerance) {
  std::size_t checked = 0, expected = 0;
  for_each_parameter(
      [&](std::string_view ours, ParameterKind kind, const auto& found) {
        if (kind != ParameterKind::trainable) {
          CHECK(found.isZero(0));
          return;
        }
        const std::string name = "grad/" + published_name(names, ours).name;
        INFO(name);
        auto published = found;
        copy_values(file.at(name), std::span(published.data(), static_cast<std::size_t>(published.size())));
        CHECK(relative_error(found, published) < tolerance);
        ++checked;
      },
      gradient);
  for (const Tensor& tensor : file.tensors()) expected += tensor.name.starts_with("grad/") ? 1 : 0;
  CHECK(checked == expected);
}

template <class Model, class Options>
void check_classifier(const std::string& name, const Options& options_of, Index heads,
                      std::span<const PublishedName> names, double tolerance) {
  using S = typename Model::Scalar;
  const TensorTable file = fixture(name), weights = parameters_in(file);
  const auto model = loaded<Model>(weights, options_of(weights, {.heads = heads}), names);
  const std::vector<Index> labels = labels_in(file);
  const CrossEntropyOptions smoothed{.label_smoothing = 0.1};
  Recording<Model> recording;
  const Matrix<S> images = columns_from<S>(file.at("input/images"));
  const Matrix<S> logits = forward(model, images, recording).tokens;
  CHECK(logits == model.forward(images));
  CHECK(relative_error(cross_entropy(logits, labels, smoothed).mean(), scalar_from<double>(file.at("output/loss"))) <
        tolerance);
  Model gradient = zeros_like(model);
  backward(model, cross_entropy_gradient(logits, labels, 1 / static_cast<double>(labels.size()), smoothed), recording,
           gradient);
  check_gradients(gradient, names, file, tolerance);
}

template <class S>
void check_masked_autoencoder(const std::string& name, const LoadOptions& given, double tolerance) {
  const TensorTable file = fixture(name), weights = parameters_in(file);
  const auto model =
      loaded<CrateMaskedAutoencoder<S>>(weights, masked_autoencoder_options(weights, given), masked_autoencoder_names);
  Recording<CrateMaskedAutoencoder<S>> recording;
  const Matrix<S> images = columns_from<S>(file.at("input/images")), noise = columns_from<S>(file.at("input/noise"));
  const Matrix<S> mask = mask_by_noise(model, noise);
  const Matrix<S> prediction = forward(model, MaskedImages<S>(images, mask), recording).tokens;
  CHECK(prediction == autoencode(model, images, noise).prediction);
  auto gradient = zeros_like(model);
  const Matrix<S> target = cut_patches(images, patch_grid(model), PatchOrder::row_column_channel);
  backward(model,
           masked_patch_error_gradient(prediction, target, mask, 1 / static_cast<double>(mask.sum()),
                                       model.about.normalise_pixels),
           recording, gradient);
  check_gradients(gradient, masked_autoencoder_names, file, tolerance);
}

}  // namespace

TEST_CASE("the CRATE classifier has the published gradients") {
  check_classifier<CrateClassifier<double>>("classifier_f64", crate_options, 3, crate_classifier_names, 1e-10);
  check_classifier<CrateClassifier<float>>("classifier", crate_options, 3, crate_classifier_names, 1e-5);
}

TEST_CASE("the CRATE-alpha classifier has the published gradients") {
  check_classifier<CrateAlphaClassifier<float>>("alpha", crate_alpha_options, 3, crate_alpha_classifier_names, 1e-5);
}

TEST_CASE("the masked autoencoder has the published gradients") {
  check_masked_autoencoder<double>("mae_f64", {.heads = 2, .normalise_pixels = true}, 1e-10);
  check_masked_autoencoder<float>("mae", {.heads = 3}, 1e-5);
}

namespace {

template <class Model, class Input>
void check_model(Model model, const Input& input, const Run<double>& run = {}) {
  initialise(model, 1);
  const auto finding = crate::testing::check_backward(model, input, {.step = 1e-5, .tolerance = 1e-7}, run);
  INFO(finding.report);
  CHECK(finding);
}

}  // namespace

TEST_CASE("whole models go backward: every parameter of every family, with dropout and either pooling") {
  const ImageOptions small{.height = 4, .width = 6, .channels = 2, .patch_height = 2, .patch_width = 3};
  Random random(2);
  const Matrix<double> images = draw_normal(random, 48, 2), mask{{1, 0}, {0, 0}, {1, 1}, {0, 1}};
  for (const Pooling pooling : {Pooling::class_token, Pooling::mean})
    check_model(CrateClassifier<double>({.image = small,
                                         .classes = 3,
                                         .depth = 1,
                                         .pooling = pooling,
                                         .token_dropout = 0.3,
                                         .block = {.dim = 4, .heads = 2, .dropout = 0.2}}),
                Images<double>(images), {.dropout = {.seed = 3, .step = 1}});
  check_model(CrateAlphaClassifier<double>(
                  {.image = small, .classes = 3, .depth = 1, .block = {.dim = 4, .heads = 2, .atoms = 5}}),
              Images<double>(images));
  check_model(CrateMaskedAutoencoder<double>({.image = small, .dim = 4, .heads = 2, .depth = 1, .decoder_depth = 1}),
              MaskedImages(images, mask));
  using Mixed = MaskedAutoencoder<CrateAlphaBlock<double>, CrateBlock<double>>;
  check_model(Mixed({.image = small,
                     .encoder = {.dim = 4, .heads = 2, .atoms = 5},
                     .decoder = {.dim = 4, .heads = 1},
                     .depth = 1,
                     .decoder_depth = 1}),
              MaskedImages(images, mask));
}
