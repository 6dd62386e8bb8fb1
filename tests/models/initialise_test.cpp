// SPDX-License-Identifier: MIT
// The random start of every family has the bounds and the moments of the published one.

#include <cmath>
#include <string>
#include <vector>

#include "catch.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"

using namespace crate;

namespace {

/// Uniform between -bound and bound: that fills the interval, is centred, and has deviation bound / sqrt(3),
/// within five standard errors.
template <class Derived>
void check_uniform(const std::string& what, const Eigen::MatrixBase<Derived>& x, double bound) {
  INFO(what);
  const auto values = x.template cast<double>().eval();
  const auto n = static_cast<double>(values.size());
  CHECK(values.cwiseAbs().maxCoeff() <= bound * (1 + 1e-6));
  CHECK(values.cwiseAbs().maxCoeff() > bound * (1 - 10 / n));
  CHECK(std::abs(values.mean()) < 5 * bound / std::sqrt(3 * n));
  const double squares = values.squaredNorm() / n / (bound * bound / 3);
  CHECK(std::abs(squares - 1) < 5 * std::sqrt(0.8 / n));
}

template <class Derived>
void check_normal(const std::string& what, const Eigen::MatrixBase<Derived>& x, double deviation) {
  INFO(what);
  const auto values = (x.template cast<double>() / deviation).eval();
  const auto n = static_cast<double>(values.size());
  CHECK(std::abs(values.mean()) < 5 / std::sqrt(n));
  CHECK(std::abs(values.squaredNorm() / n - 1) < 5 * std::sqrt(2 / n));
  CHECK(values.cwiseAbs().maxCoeff() > 1.5);
}

void check_norm(const LayerNorm<float>& norm) {
  CHECK((norm.weight.array() == 1).all());
  CHECK((norm.bias.array() == 0).all());
}

/// PyTorch's default.
void check_linear(const std::string& what, const Linear<float>& linear) {
  const double bound = 1 / std::sqrt(static_cast<double>(linear.input_dim()));
  check_uniform(what, linear.weight, bound);
  CHECK(linear.bias.cwiseAbs().maxCoeff() <= bound);
  CHECK((linear.bias.array() != 0).any());
}

void check_xavier(const std::string& what, const Linear<float>& linear) {
  check_uniform(what, linear.weight, std::sqrt(6.0 / static_cast<double>(linear.input_dim() + linear.output_dim())));
  CHECK((linear.bias.array() == 0).all());
}

const ImageOptions small_image{.height = 32, .width = 32, .channels = 3, .patch_height = 4, .patch_width = 4};

}  // namespace

TEST_CASE("CRATE starts from PyTorch's linear maps, Kaiming-uniform dictionaries, normal positions") {
  CrateClassifier<float> model(
      {.image = small_image, .classes = 10, .depth = 2, .block = {.dim = 72, .heads = 3, .head_dim = 20}});
  initialise(model, 1);
  check_normal("positions", model.tokens.positions, 1);
  check_normal("class token", model.tokens.class_token, 1);
  check_norm(model.embedding.map.pixel_norm);
  check_linear("embedding", model.embedding.map.projection);
  check_norm(model.embedding.map.token_norm);
  for (const auto& block : model.encoder.layers) {
    check_norm(block.compress.branch.norm);
    check_uniform("subspaces", block.compress.branch.layer.subspaces.bases(), 1 / std::sqrt(72.0));
    check_linear("output", *block.compress.branch.layer.output);
    check_uniform("dictionary", block.sparsify.layer.dictionary, std::sqrt(6 / 72.0));
  }
  check_linear("head", model.head.linear);
  CHECK(model.encoder.layers[0].sparsify.layer.dictionary != model.encoder.layers[1].sparsify.layer.dictionary);
}

TEST_CASE("CRATE-alpha starts from Kaiming-uniform dictionaries over their atoms") {
  CrateAlphaClassifier<float> model(
      {.image = small_image, .classes = 10, .depth = 1, .block = {.dim = 48, .heads = 3, .atoms = 100}});
  initialise(model, 1);
  const auto& block = model.encoder.layers[0];
  check_uniform("D", block.sparsify.branch.layer.dictionary, std::sqrt(6 / 100.0));
  check_uniform("D'", block.sparsify.branch.layer.decoding, std::sqrt(6 / 100.0));
  CHECK(block.sparsify.branch.layer.dictionary != block.sparsify.branch.layer.decoding);
  check_linear("embedding", model.embedding.map);
  check_uniform("output", block.compress.branch.layer.output->weight, 1 / std::sqrt(48.0));
}

TEST_CASE("The masked autoencoder starts from Xavier-uniform maps without biases, and small tokens") {
  CrateMaskedAutoencoder<float> model(
      {.image = small_image, .dim = 400, .heads = 4, .head_dim = 24, .depth = 1, .decoder_depth = 1});
  const Matrix<float> positions = model.tokens.positions;
  initialise(model, 1);
  CHECK(model.tokens.positions == positions);
  check_normal("class token", model.tokens.class_token, 0.02);
  check_normal("mask token", model.embedding.mask_token, 0.02);
  check_uniform("embedding", model.embedding.embedding.map.weight, std::sqrt(6.0 / (48 + 400)));
  CHECK(model.embedding.embedding.map.bias.cwiseAbs().maxCoeff() <= 1 / std::sqrt(48.0F));
  CHECK((model.embedding.embedding.map.bias.array() != 0).any());
  const auto& block = model.encoder.layers[0];
  check_uniform("subspaces", block.compress.branch.layer.subspaces.bases(), std::sqrt(6.0 / (400 + 96)));
  check_xavier("output", *block.compress.branch.layer.output);
  check_uniform("encoder's dictionary", block.sparsify.layer.dictionary, std::sqrt(6 / 400.0));
  const auto& mirrored = model.decoder.layers[0];
  check_uniform("decoder's dictionary", mirrored.expand.layer.dictionary, std::sqrt(6 / 400.0));
  check_uniform("decoder's subspaces", mirrored.decompress.branch.layer.subspaces.bases(), std::sqrt(6.0 / (400 + 96)));
  check_xavier("decoder's output", *mirrored.decompress.branch.layer.output);
  check_norm(model.decoder_norm);
  check_xavier("prediction", model.prediction);
  check_xavier("unused embedding", model.unused_embedding);
}
