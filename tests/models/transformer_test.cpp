// SPDX-License-Identifier: MIT
// Transformers against numbers that tests/pytorch/vit.py computed with the same parameters, and their published sizes.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/testing/backward.hpp"
#include "draw.hpp"
#include "published_fixture.hpp"

using namespace crate;
using namespace crate::test;

namespace {

constexpr double tolerance = 1e-10;

TransformerClassifier<double>::Options options_of_fixture() {
  return {.image = {.height = 8, .width = 9, .channels = 2, .patch_height = 4, .patch_width = 3},
          .classes = 5,
          .depth = 2,
          .head_norm_epsilon = 1e-6,
          .block = {.dim = 12, .heads = 3, .hidden = 20}};
}

/// The name that timm gives a parameter.
std::string timm_name(std::string name) {
  constexpr std::pair<std::string_view, std::string_view> parts[] = {{"embedding.", "patch_embed.proj."},
                                                                     {"class_token", "cls_token"},
                                                                     {"positions", "pos_embed"},
                                                                     {"layers.", "blocks."},
                                                                     {"attend.norm", "norm1"},
                                                                     {"attend.projection", "attn.qkv"},
                                                                     {"attend.output", "attn.proj"},
                                                                     {"transform.norm", "norm2"},
                                                                     {"transform.expand", "mlp.fc1"},
                                                                     {"transform.contract", "mlp.fc2"},
                                                                     {"head.norm", "norm"},
                                                                     {"head.linear", "head"}};
  for (const auto& [ours, theirs] : parts)
    if (const std::size_t at = name.find(ours); at != std::string::npos) name.replace(at, ours.size(), theirs);
  return name;
}

/// What the file holds of each parameter: it has the same bytes.
void read(const TensorTable& file, const std::string& kind, TransformerClassifier<double>& model) {
  for_each_parameter(
      [&](std::string_view name, ParameterKind, auto& parameter) {
        INFO(name);
        copy_values(file.at(kind + timm_name(std::string(name))),
                    std::span(parameter.data(), static_cast<std::size_t>(parameter.size())));
      },
      model);
}

TransformerClassifier<double> model_of(const TensorTable& file, const TransformerClassifier<double>::Options& options) {
  TransformerClassifier<double> model(options);
  read(file, "param/", model);
  return model;
}

Matrix<double> images_of(const TensorTable& file) { return columns_from<double>(file.at("input/images")); }

/// Of every token, or of every image.
Matrix<double> columns_of_last(const TensorTable& file, const std::string& name) {
  const Tensor& tensor = file.at(name);
  const Matrix<double> sets = columns_from<double>(tensor);
  return sets.reshaped(tensor.shape.back(), sets.size() / tensor.shape.back());
}

}  // namespace

TEST_CASE("a ViT computes what PyTorch does, half-step by half-step") {
  const TensorTable file = fixture("vit");
  const auto model = model_of(file, options_of_fixture());
  Index compared = 0;
  const Observer<double> watch = [&](HalfStep<double> step) {
    const std::string_view name = step.name;
    if (!name.starts_with("layers.") || name.find('.', 7) != name.rfind('.')) return;
    const std::string published =
        "activation/blocks." + std::string(name.substr(7, 2)) + (name.ends_with("attend") ? "half" : "out");
    INFO(name);
    CHECK(relative_error(step.activation, columns_of_last(file, published)) < tolerance);
    ++compared;
  };
  const Matrix<double> logits = model.forward(images_of(file), {.observer = watch});
  CHECK(compared == 4);
  CHECK(relative_error(logits, columns_of_last(file, "output/logits")) < tolerance);
  CHECK(relative_error(fold(model).forward(images_of(file)), logits) < tolerance);
}

TEST_CASE("a causal transformer and one with GELU by tanh compute what PyTorch does") {
  const TensorTable file = fixture("vit");
  auto causal = options_of_fixture(), by_tanh = causal;
  causal.block.mask = AttentionMask::causal;
  by_tanh.block.gelu = GeluForm::tanh;
  CHECK(relative_error(model_of(file, causal).forward(images_of(file)), columns_of_last(file, "output/logits_causal")) <
        tolerance);
  CHECK(relative_error(model_of(file, by_tanh).forward(images_of(file)), columns_of_last(file, "output/logits_tanh")) <
        tolerance);
}

TEST_CASE("a ViT has the loss and the gradients of PyTorch") {
  const TensorTable file = fixture("vit");
  const auto model = model_of(file, options_of_fixture());
  const auto integers = integers_from(file.at("input/labels"));
  const std::vector<Index> labels(integers.begin(), integers.end());
  const CrossEntropyOptions smoothed{.label_smoothing = 0.1};
  const Matrix<double> images = images_of(file);
  Recording<TransformerClassifier<double>> recording;
  const Matrix<double> logits = forward(model, images, recording).tokens;
  CHECK(logits == model.forward(images));
  CHECK(relative_error(cross_entropy(logits, labels, smoothed).mean(), scalar_from<double>(file.at("output/loss"))) <
        tolerance);
  auto gradient = zeros_like(model), published = gradient;
  read(file, "grad/", published);
  backward(model, cross_entropy_gradient(logits, labels, 1 / static_cast<double>(labels.size()), smoothed), recording,
           gradient);
  for_each_parameter(
      [](std::string_view name, ParameterKind, const auto& found, const auto& expected) {
        INFO(name);
        CHECK(relative_error(found, expected) < tolerance);
      },
      gradient, published);
}

TEST_CASE("transformers have as many parameters as the published ones") {
  CHECK(parameter_count(TransformerClassifier<float>(presets::vit_tiny())) == 5717416);
  CHECK(parameter_count(TransformerClassifier<float>(presets::vit_small())) == 22050664);
  CHECK(parameter_count(TransformerClassifier<float>(presets::vit_base())) == 86567656);
}

TEST_CASE("an untrained ViT has linear maps of deviation 0.02 and no biases") {
  auto options = options_of_fixture();
  options.block = {.dim = 64, .heads = 4};
  TransformerClassifier<double> model(options);
  initialise(model, 1);
  const auto deviation = [](const auto& m) { return m.norm() / std::sqrt(static_cast<double>(m.size())); };
  CHECK(deviation(model.tokens.positions) == Approx(0.02).epsilon(0.1));
  CHECK(deviation(model.tokens.class_token) == Approx(1e-6).epsilon(0.3));
  CHECK(deviation(model.head.linear.weight) == Approx(0.02).epsilon(0.1));
  for (const auto& block : model.encoder.layers) {
    const auto& attention = block.attend.branch.layer;
    const auto& mlp = block.transform.branch.layer;
    for (const Linear<double>* map : {&attention.projection, &attention.output, &mlp.expand, &mlp.contract}) {
      CHECK(deviation(map->weight) == Approx(0.02).epsilon(0.05));
      CHECK(map->bias.isZero(0));
    }
  }
}

TEST_CASE("a ViT learns what it is shown") {
  TransformerClassifier<double> model(options_of_fixture());
  initialise(model, 1);
  Random random(5);
  const Matrix<double> images = draw_normal(random, 144, 5);
  const std::vector<Index> labels{0, 1, 2, 3, 4};
  AdamW<TransformerClassifier<double>> optimiser(model, {.rate = 3e-3});
  Threads threads;
  Recording<TransformerClassifier<double>> recording;
  for (int step = 0; step < 120; ++step) {
    const Matrix<double> logits = forward(model, images, recording).tokens;
    auto gradient = zeros_like(model);
    backward(model, cross_entropy_gradient(logits, labels, 0.2), recording, gradient);
    optimiser.step(model, gradient, {}, threads);
  }
  CHECK(cross_entropy(model.forward(images), labels).mean() < 0.1);
}

TEST_CASE("a masked autoencoder of transformer blocks goes backward, and folds") {
  TransformerMaskedAutoencoder<double> model(
      {.image = {.height = 4, .width = 6, .channels = 2, .patch_height = 2, .patch_width = 3},
       .encoder = {.dim = 8, .heads = 2},
       .decoder = {.dim = 8, .heads = 4, .hidden = 5},
       .depth = 2,
       .decoder_depth = 1,
       .mask_ratio = 0.5});
  initialise(model, 1);
  Random random(2);
  const Matrix<double> images = draw_normal(random, 48, 3), noise = draw_normal(random, 4, 3);
  const Matrix<double> mask = mask_by_noise(model, noise);
  const MaskedImages<double> masked(images, mask);
  const auto finding = testing::check_backward(model, masked, {.step = 1e-5, .tolerance = 1e-7});
  INFO(finding.report);
  CHECK(finding);
  CHECK(relative_error(fold(model).forward(masked), model.forward(masked)) < 1e-12);
}

TEST_CASE("a classifier of a masked autoencoder reads what its encoder makes of the whole image") {
  const auto check = [](auto model) {
    initialise(model, 1);
    Random random(2);
    const Matrix<double> images = draw_normal(random, patch_grid(model).values_per_image(), 3);
    auto classifier = classifier_of(model, /*classes*/ model.dim(), Pooling::class_token);
    classifier.head.linear.weight.setIdentity();
    const Matrix<double> latent = autoencode(model, images).latent;
    const Index tokens = latent.cols() / 3;
    const Matrix<double> logits = classifier.forward(images);
    for (Index b = 0; b < 3; ++b) CHECK(relative_error(logits.col(b), latent.col(b * tokens)) < tolerance);
  };
  const ImageOptions image{.height = 8, .width = 6, .channels = 2, .patch_height = 4, .patch_width = 3};
  check(CrateMaskedAutoencoder<double>({.image = image, .dim = 12, .heads = 3, .depth = 2, .decoder_depth = 1}));
  check(TransformerMaskedAutoencoder<double>({.image = image,
                                              .encoder = {.dim = 12, .heads = 3},
                                              .decoder = {.dim = 12, .heads = 3},
                                              .depth = 2,
                                              .decoder_depth = 1}));
}
