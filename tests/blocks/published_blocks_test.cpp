// SPDX-License-Identifier: MIT
// The blocks, step by step, against numbers that the published code computed with the same parameters.

#include <cmath>
#include <string>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/io/formats/safetensors.hpp"

using namespace crate;
using crate::test::relative_error;

namespace {

// float64 files agree to 1e-10, float32 files to 1e-5 of the norm: some hundred roundings in two orders of summation.
template <Scalar S>
constexpr double tolerance = std::same_as<S, double> ? 1e-10 : 1e-5;

TensorTable fixture(const std::string& name) {
  return read_safetensors(std::string(CRATE_TEST_FIXTURES) + "/" + name + ".safetensors");
}

template <Scalar S>
void read(const TensorTable& file, const std::string& name, LayerNorm<S>& norm) {
  norm.weight = vector_from<S>(file.at(name + ".weight"));
  norm.bias = vector_from<S>(file.at(name + ".bias"));
}

template <Scalar S>
void read(const TensorTable& file, const std::string& projection, const std::string& output, Mssa<S>& mssa) {
  mssa.subspaces.bases() = tokens_from<S>(file.at(projection + ".weight"));
  mssa.output->weight = matrix_from<S>(file.at(output + ".weight"));
  if (mssa.output->bias.size() != 0) mssa.output->bias = vector_from<S>(file.at(output + ".bias"));
}

template <Scalar S>
void read(const TensorTable& file, const std::string& layer, CrateBlock<S>& block) {
  read(file, layer + ".0.norm", block.compress.branch.norm);
  read(file, layer + ".0.fn.qkv", layer + ".0.fn.to_out.0", block.compress.branch.layer);
  read(file, layer + ".1.norm", block.sparsify.norm);
  block.sparsify.layer.dictionary = matrix_from<S>(file.at(layer + ".1.fn.weight"));
}

template <Scalar S>
void read(const TensorTable& file, const std::string& layer, CrateDecoderBlock<S>& block) {
  read(file, layer + ".0.norm", block.expand.norm);
  block.expand.layer.dictionary = matrix_from<S>(file.at(layer + ".0.fn.weight"));
  read(file, layer + ".1.norm", block.decompress.branch.norm);
  read(file, layer + ".1.fn.qkv", layer + ".1.fn.to_out.0", block.decompress.branch.layer);
}

template <Scalar S>
void read(const TensorTable& file, const std::string& layer, CrateAlphaBlock<S>& block) {
  read(file, layer + ".0.norm", block.compress.branch.norm);
  read(file, layer + ".0.fn.qkv", layer + ".0.fn.to_out.0", block.compress.branch.layer);
  read(file, layer + ".1.norm", block.sparsify.branch.norm);
  block.sparsify.branch.layer.dictionary = matrix_from<S>(file.at(layer + ".1.fn.D"));
  block.sparsify.branch.layer.decoding = matrix_from<S>(file.at(layer + ".1.fn.D1"));
}

template <Scalar S>
void read(const TensorTable& file, const std::string& layer, OvercompleteBlock<S>& block) {
  read(file, layer + ".prenorm_1", block.compress.branch.norm);
  read(file, layer + ".attn.c_attn", layer + ".attn.c_proj", block.compress.branch.layer);
  read(file, layer + ".prenorm_2", block.sparsify.norm);
  block.sparsify.layer.dictionary = tokens_from<S>(file.at(layer + ".ista.weight"));
}

template <class Chained>
void read_layers(const TensorTable& file, const std::string& layers, Chained& model) {
  for (std::size_t i = 0; i < model.layers.size(); ++i) read(file, layers + "." + std::to_string(i), model.layers[i]);
}

/// [B, N, d] of the file as B token sets.
template <Scalar S>
TokenSets<S> sets_from(const Tensor& tensor) {
  return {tokens_from<S>(tensor), TokenLayout::equal(tensor.shape[0], tensor.shape[1])};
}

/// Every half-step of every block of a classifier, each from the activation that the file holds before it.
template <class Block>
void check_half_steps(const TensorTable& file, Encoder<Block> encoder) {
  using S = typename Block::Scalar;
  read_layers(file, "param/transformer.layers", encoder);
  TokenSets<S> before = sets_from<S>(file.at("activation/tokens"));
  for (std::size_t l = 0; l < encoder.layers.size(); ++l) {
    INFO("layer " << l);
    const std::string name = "activation/layers." + std::to_string(l);
    const TokenSets<S> half = forward(encoder.layers[l].compress, before);
    CHECK(relative_error(half.tokens, tokens_from<S>(file.at(name + ".half"))) < tolerance<S>);
    before = forward(encoder.layers[l].sparsify, sets_from<S>(file.at(name + ".half")));
    CHECK(relative_error(before.tokens, tokens_from<S>(file.at(name + ".out"))) < tolerance<S>);
  }
  const TokenSets<S> all = encoder.forward(sets_from<S>(file.at("activation/tokens")));
  CHECK(relative_error(all.tokens, before.tokens) < 10 * tolerance<S>);
}

/// Pixels of image b as patches, in the order of a convolution kernel (channel, row, column), a patch a column.
Matrix<double> patches_of(const Tensor& images, Index b, Index patch) {
  const Matrix<double> pixels = tokens_from<double>(images);  // a column is a row of an image
  const Index channels = images.shape[1], side = images.shape[2], across = side / patch;
  Matrix<double> patches(channels * patch * patch, across * across);
  for (Index p = 0; p < patches.cols(); ++p)
    for (Index c = 0; c < channels; ++c)
      for (Index row = 0; row < patch; ++row)
        patches.col(p).segment((c * patch + row) * patch, patch) =
            pixels.col((b * channels + c) * side + p / across * patch + row).segment(p % across * patch, patch);
  return patches;
}

/// What enters the masked autoencoder's encoder: class token, patches (or mask tokens where `mask` is 1),
/// fixed positions.
TokenSets<double> masked_tokens(const TensorTable& file, const Matrix<double>& mask) {
  const Tensor& images = file.at("input/images");
  const Tensor& kernel = file.at("param/patch_embed.proj.weight");
  const Index dim = kernel.shape[0], patch = kernel.shape[2], sets = images.shape[0], patches = mask.rows();
  RowMajorMatrix<double> weight(dim, kernel.shape[1] * patch * patch);
  copy_values(kernel, std::span<double>(weight.data(), static_cast<std::size_t>(weight.size())));
  const auto bias = vector_from<double>(file.at("param/patch_embed.proj.bias"));
  const auto positions = tokens_from<double>(file.at("param/decoder_pos_embed"));
  TokenSets<double> result(Matrix<double>(dim, sets * (patches + 1)), TokenLayout::equal(sets, patches + 1));
  for (Index b = 0; b < sets; ++b) {
    auto set = result.tokens.middleCols(result.layout.begin(b), patches + 1);
    set.col(0) = tokens_from<double>(file.at("param/cls_token"));
    set.rightCols(patches) = (weight * patches_of(images, b, patch)).colwise() + bias;
    for (Index p = 0; p < patches; ++p)
      if (mask(p, b) != 0) set.col(p + 1) = tokens_from<double>(file.at("param/mask_token"));
    set += positions;
  }
  return result;
}

}  // namespace

TEST_CASE("the halves of a CRATE block are those of the published classifier") {
  check_half_steps(fixture("classifier_f64"), Encoder<CrateBlock<double>>(2, {.dim = 24, .heads = 3}));
}

TEST_CASE("the halves of an alpha block are those of the published CRATE-alpha") {
  check_half_steps(fixture("alpha"), Encoder<CrateAlphaBlock<float>>(3, {.dim = 48, .heads = 3}));
}

TEST_CASE("encoder and decoder blocks make the published masked autoencoder") {
  const TensorTable file = fixture("mae_f64");
  Encoder<CrateBlock<double>> encoder(2, {.dim = 24, .heads = 2, .lambda = 0.5});
  Decoder<CrateDecoderBlock<double>> decoder(2, {.dim = 24, .heads = 2});
  for (std::size_t i = 0; i < 2; ++i) {
    read(file, "param/blocks." + std::to_string(i) + ".layers.0", encoder.layers[i]);
    read(file, "param/decoder_blocks." + std::to_string(i) + ".layers.0", decoder.layers[i]);
  }
  LayerNorm<double> norm(24, {.epsilon = 1e-6}), decoder_norm(24, {.epsilon = 1e-6});
  read(file, "param/norm", norm);
  read(file, "param/decoder_norm", decoder_norm);
  const Matrix<double> mask = tokens_from<double>(file.at("output/mask"));

  const TokenSets<double> seen = masked_tokens(file, Matrix<double>::Zero(mask.rows(), mask.cols()));
  CHECK(relative_error(forward(norm, encoder.forward(seen)).tokens,
                       tokens_from<double>(file.at("output/latent_unmasked"))) < 1e-10);

  const TokenSets<double> latent = forward(norm, encoder.forward(masked_tokens(file, mask)));
  CHECK(relative_error(latent.tokens, tokens_from<double>(file.at("output/latent"))) < 1e-10);

  const Matrix<double> decoded = forward(decoder_norm, decoder.forward(latent)).tokens;
  const Matrix<double> pixels = (matrix_from<double>(file.at("param/decoder_pred.weight")) * decoded).colwise() +
                                vector_from<double>(file.at("param/decoder_pred.bias"));
  const Matrix<double> expected = tokens_from<double>(file.at("output/pred"));
  const Index patches = mask.rows();
  for (Index b = 0; b < mask.cols(); ++b)
    CHECK(relative_error(pixels.middleCols(latent.layout.begin(b) + 1, patches),
                         expected.middleCols(b * patches, patches)) < 1e-10);
}

TEST_CASE("overcomplete blocks make the published language model") {
  const TensorTable file = fixture("gpt_overcomplete");
  Encoder<OvercompleteBlock<double>> encoder(2, {.dim = 24, .heads = 2});
  read_layers(file, "param/transformer.h", encoder);
  LayerNorm<double> norm(24);
  read(file, "param/transformer.ln_f", norm);
  const auto embedding = tokens_from<double>(file.at("param/transformer.wte.weight"));
  const auto positions = tokens_from<double>(file.at("param/transformer.wpe.weight"));

  const Tensor& input = file.at("input/tokens");
  const auto ids = integers_from(input);
  TokenSets<double> sets(Matrix<double>(24, static_cast<Index>(ids.size())),
                         TokenLayout::equal(input.shape[0], input.shape[1]));
  for (Index i = 0; i < sets.tokens.cols(); ++i)
    sets.tokens.col(i) = embedding.col(ids[static_cast<std::size_t>(i)]) + positions.col(i % input.shape[1]);
  const Matrix<double> logits = embedding.transpose() * forward(norm, encoder.forward(sets)).tokens;
  CHECK(relative_error(logits, tokens_from<double>(file.at("output/logits"))) < 1e-10);
}
