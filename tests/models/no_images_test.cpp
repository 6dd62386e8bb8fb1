// SPDX-License-Identifier: MIT
// Batches may be empty: the last of a stream, a shard of a small data set. Passes over nothing give nothing and add
// nothing.

#include <vector>

#include "catch.hpp"
#include "crate/crate.hpp"

using namespace crate;

namespace {

template <class Model>
bool is_zero(const Model& model) {
  bool zero = true;
  for_each_parameter([&](std::string_view, ParameterKind, const auto& p) { zero = zero && p.isZero(0); }, model);
  return zero;
}

constexpr ImageOptions image{.height = 4, .width = 6, .channels = 2, .patch_height = 2, .patch_width = 3};

template <class Model>
void check_classifier(const typename Model::Options& options) {
  using S = typename Model::Scalar;
  Model model(options);
  initialise(model, 1);
  const Matrix<S> none(patch_grid(model).values_per_image(), 0);
  CHECK(model.forward(none).cols() == 0);
  CHECK(fold(model).forward(none).cols() == 0);

  Recording<Model> tape;
  Model gradient = zeros_like(model);
  const LabelledImages<S> examples{none, {}};
  const ClassificationObjective<Model> objective{{.label_smoothing = 0.1}};
  const auto measures = objective.accumulate(model, examples, 1, gradient, tape, {});
  CHECK(measures.loss.count == 0);
  CHECK(measures.loss.sum == 0);
  CHECK(measures.correct == 0);
  CHECK(is_zero(gradient));
  CHECK(objective.measure(model, examples, {}).loss.count == 0);
}

template <class Block>
void check_stack(const typename Block::Options& options) {
  using S = typename Block::Scalar;
  Encoder<Block> encoder(2, options);
  initialise(encoder, 1);
  const TokenSets<S> none(Matrix<S>(encoder.input_dim(), 0), TokenLayout(std::vector<Index>{}));
  CHECK(forward(encoder, none).tokens.cols() == 0);
  Recording<Encoder<Block>> recording;
  Encoder<Block> gradient = zeros_like(encoder);
  const TokenSets<S> out = forward(encoder, none, recording);
  CHECK(out.tokens.rows() == encoder.output_dim());
  CHECK(backward(encoder, out.tokens, recording, gradient).cols() == 0);
  CHECK(is_zero(gradient));
}

}  // namespace

TEST_CASE("a classifier takes no images, forward and backward") {
  check_classifier<CrateClassifier<float>>(
      {.image = image, .classes = 3, .depth = 2, .token_dropout = 0.1, .block = {.dim = 8, .heads = 2}});
  check_classifier<CrateClassifier<double>>(
      {.image = image, .classes = 3, .depth = 1, .pooling = Pooling::mean, .block = {.dim = 8, .heads = 2}});
  check_classifier<CrateAlphaClassifier<float>>(
      {.image = image, .classes = 3, .depth = 2, .block = {.dim = 8, .heads = 2}});
}

TEST_CASE("a masked autoencoder takes no images, forward and backward") {
  CrateMaskedAutoencoder<float> model(
      {.image = image, .dim = 8, .heads = 2, .depth = 1, .decoder_depth = 1, .normalise_pixels = true});
  initialise(model, 1);
  const Matrix<float> none(patch_grid(model).values_per_image(), 0), noise(patch_grid(model).patches(), 0);
  CHECK(autoencode(model, none).prediction.cols() == 0);
  CHECK_FALSE(autoencode(model, none, noise).loss);
  CHECK(autoencode(fold(model), none).latent.cols() == 0);

  Recording<CrateMaskedAutoencoder<float>> tape;
  auto gradient = zeros_like(model);
  const LabelledImages<float> examples{none, {}};
  const MaskedAutoencodingObjective<CrateMaskedAutoencoder<float>> objective;
  CHECK(objective.accumulate(model, examples, 1, gradient, tape, {}).loss.count == 0);
  CHECK(is_zero(gradient));
  CHECK(objective.measure(model, examples, {}).loss.sum == 0);
}

TEST_CASE("stacks of blocks take no token sets, forward and backward") {
  check_stack<CrateBlock<float>>({.dim = 8, .heads = 2});
  check_stack<CrateAlphaBlock<float>>({.dim = 8, .heads = 2});
  check_stack<CrateDecoderBlock<double>>({.dim = 8, .heads = 2});
  check_stack<OvercompleteBlock<float>>({.dim = 8, .heads = 2});
  check_stack<StrictBlock<double>>({.dim = 8, .heads = 2});
  check_stack<StrictDecoderBlock<double>>({.dim = 8, .heads = 2});
}
