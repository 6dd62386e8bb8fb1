// SPDX-License-Identifier: MIT
// Gradients of whole models against those that the published code computed with the same weights.

#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/io/families.hpp"
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
  typename Model::Tape tape;
  const Matrix<S> images = columns_from<S>(file.at("input/images"));
  const Matrix<S> logits = model.forward(images, tape);
  CHECK(logits == model.forward(images));
  CHECK(relative_error(cross_entropy(logits, labels, smoothed).mean(), scalar_from<double>(file.at("output/loss"))) <
        tolerance);
  Model gradient = zeros_like(model);
  model.backward(cross_entropy_gradient(logits, labels, 1 / static_cast<double>(labels.size()), smoothed), tape,
                 gradient);
  check_gradients(gradient, names, file, tolerance);
}

template <class S>
void check_masked_autoencoder(const std::string& name, const LoadOptions& given, double tolerance) {
  const TensorTable file = fixture(name), weights = parameters_in(file);
  const auto model =
      loaded<MaskedAutoencoder<S>>(weights, masked_autoencoder_options(weights, given), masked_autoencoder_names);
  typename MaskedAutoencoder<S>::Tape tape;
  const Matrix<S> images = columns_from<S>(file.at("input/images")), noise = columns_from<S>(file.at("input/noise"));
  const auto result = model.forward(images, noise, tape);
  CHECK(result.prediction == model.forward(images, noise).prediction);
  auto gradient = zeros_like(model);
  model.backward(
      masked_patch_error_gradient(result.prediction, cut_patches(images, model.grid, PatchOrder::row_column_channel),
                                  result.mask, 1 / static_cast<double>(result.mask.sum()), model.normalise_pixels),
      tape, gradient);
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

TEST_CASE("mean pooling and dropout of tokens go backward, too") {
  CrateClassifier<double> model({.image = {.height = 4, .width = 6, .channels = 2, .patch_height = 2, .patch_width = 3},
                                 .classes = 3,
                                 .depth = 1,
                                 .pooling = Pooling::mean,
                                 .token_dropout = 0.3,
                                 .block = {.dim = 4, .heads = 2, .dropout = 0.2}});
  initialise(model, 1);
  Random random(2);
  const Matrix<double> images = draw_normal(random, 48, 2), weights = draw_normal(random, 3, 2);
  const Run<double> run{.dropout = {.seed = 3, .step = 1}};
  CrateClassifier<double>::Tape tape;
  const auto loss = [&](const CrateClassifier<double>& changed) {
    return changed.forward(images, tape, run).cwiseProduct(weights).sum();
  };
  auto direction = model, gradient = zeros_like(model);
  for_each_parameter([&](std::string_view, ParameterKind, auto& parameter) { random.fill_normal(parameter); },
                     direction);
  static_cast<void>(loss(model));
  model.backward(weights, tape, gradient);
  double along = 0;
  for_each_parameter(
      [&](std::string_view, ParameterKind, const auto& g, const auto& d) { along += g.cwiseProduct(d).sum(); },
      gradient, direction);
  const auto moved = [&](double step) {
    auto changed = model;
    for_each_parameter([&](std::string_view, ParameterKind, auto& parameter, const auto& d) { parameter += step * d; },
                       changed, direction);
    return loss(changed);
  };
  const auto slope = [&](double h) { return (moved(h) - moved(-h)) / (2 * h); };
  const double h = 1e-5;
  CHECK(relative_error((4 * slope(h / 2) - slope(h)) / 3, along) < 1e-8);
}
