// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "crate/blocks/crate_block.hpp"
#include "crate/blocks/crate_decoder_block.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/encoder.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/operators/losses.hpp"
#include "crate/operators/patches.hpp"
#include "crate/operators/positions.hpp"

namespace crate {

struct MaskedAutoencoderOptions {
  ImageOptions image = {};
  Index dim = 0;       ///< d, a positive multiple of 4
  Index heads = 0;     ///< K
  Index head_dim = 0;  ///< p; 0 for d / K
  Index depth = 12;
  Index decoder_depth = 12;
  Index decoder_heads = 0;        ///< 0 for the encoder's
  Index decoder_head_dim = 0;     ///< 0 for as wide as all heads of the encoder, K p, over the decoder's heads
  double step = 0.1;              ///< eta
  double lambda = 0.5;            ///< of the encoder; the decoder has none
  double mask_ratio = 0.75;       ///< in [0, 1)
  bool normalise_pixels = false;  ///< compare with each patch normalised by its own mean and deviation

  /// Throws OptionError unless the decoder's heads divide the width that they share.
  [[nodiscard]] CrateDecoderBlockOptions decoder_block() const {
    if (decoder_heads == 0)
      return {.dim = dim, .heads = heads, .head_dim = decoder_head_dim == 0 ? head_dim : decoder_head_dim};
    if (decoder_head_dim != 0) return {.dim = dim, .heads = decoder_heads, .head_dim = decoder_head_dim};
    const Index width = head_dim == 0 ? dim : heads * head_dim;
    check_option(decoder_heads >= 1 && width % decoder_heads == 0,
                 concatenate("decoder heads that divide the encoder's width ", width), decoder_heads);
    return {.dim = dim, .heads = decoder_heads, .head_dim = width / decoder_heads};
  }

  void check() const { check_option(mask_ratio >= 0 && mask_ratio < 1, "mask ratio in [0, 1)", mask_ratio); }
};

namespace detail {

/// 0 for the `kept` patches of smallest noise of each image, 1 for the others; of equal noise the earlier is kept.
template <Scalar S>
[[nodiscard]] Matrix<S> mask_of(const Matrix<S>& noise, Index kept) {
  Matrix<S> mask = Matrix<S>::Ones(noise.rows(), noise.cols());
  std::vector<Index> order(static_cast<std::size_t>(noise.rows()));
  for (Index b = 0; b < noise.cols(); ++b) {
    std::iota(order.begin(), order.end(), Index{0});
    std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) { return noise(i, b) < noise(j, b); });
    for (Index i = 0; i < kept; ++i) mask(order[static_cast<std::size_t>(i)], b) = 0;
  }
  return mask;
}

/// The mean squared error of the hidden patches, if any was hidden.
template <Scalar S>
[[nodiscard]] std::optional<double> hidden_error(const Matrix<S>& images, const PatchGrid& grid,
                                                 const Matrix<S>& predicted, const Matrix<S>& mask,
                                                 bool normalise_pixels) {
  const LossSum sum =
      masked_patch_error(predicted, cut_patches(images, grid, PatchOrder::row_column_channel), mask, normalise_pixels);
  if (sum.count == 0) return std::nullopt;
  return sum.mean();
}

}  // namespace detail

/// What a masked autoencoder computes of images.
template <crate::Scalar S>
struct MaskedAutoencoding {
  Matrix<S> latent;      ///< LN of the encoder's output, d x (1 + patches) B
  Matrix<S> prediction;  ///< pixels of every patch, values per patch x patches B, in the order row, column, channel
  Matrix<S> mask;        ///< patches x B, 1 where a patch was hidden
  std::optional<double> loss;  ///< mean squared error of the hidden patches, if any was hidden
};

/// The masked autoencoder CRATE-MAE. Mask tokens take the place of hidden patches before the encoder, which sees all
/// positions; the decoder's blocks mirror the encoder's.
/// Source: arXiv 2404.02446.
template <crate::Scalar S>
struct MaskedAutoencoder {
  using Scalar = S;
  using Options = MaskedAutoencoderOptions;

  ConvolutionPatchEmbedding<S> embedding;
  Vector<S> class_token;  ///< d
  Vector<S> mask_token;   ///< d
  Matrix<S> positions;    ///< d x (1 + patches), fixed; the published `decoder_pos_embed`
  Encoder<CrateBlock<S>> encoder;
  LayerNorm<S> encoder_norm;
  Decoder<CrateDecoderBlock<S>> decoder;
  LayerNorm<S> decoder_norm;
  Linear<S> prediction;        ///< to the pixels of a patch
  Matrix<S> unused_positions;  ///< the published `pos_embed`
  Linear<S> unused_embedding;  ///< the published `decoder_embed`
  PatchGrid grid;
  double mask_ratio;
  bool normalise_pixels;
  ImagePreprocessing preprocessing;  ///< as published until somebody says otherwise

  /// A recorded forward pass, with its memory; used again from pass to pass.
  struct Tape {
    TapeMemory memory;
    std::optional<TokenLayout> layout;  ///< empty until something was recorded
    Matrix<S> mask;                     ///< patches x B: where the mask token stood
    typename ConvolutionPatchEmbedding<S>::Tape embedding;
    typename Encoder<CrateBlock<S>>::Tape encoder;
    typename LayerNorm<S>::Tape encoder_norm;
    typename Decoder<CrateDecoderBlock<S>>::Tape decoder;
    typename LayerNorm<S>::Tape decoder_norm;
    typename Linear<S>::Tape prediction;
  };

  /// Fixed positions; the rest zero but the norms. Throws OptionError on an option out of range.
  explicit MaskedAutoencoder(const Options& o)
      : embedding(o.image.grid().values_per_patch(), o.dim),
        class_token(Vector<S>::Zero(o.dim)),
        mask_token(Vector<S>::Zero(o.dim)),
        positions(sin_cos_positions<S>(o.dim, o.image.grid().rows, o.image.grid().columns)),
        encoder(o.depth, {.dim = o.dim, .heads = o.heads, .head_dim = o.head_dim, .step = o.step, .lambda = o.lambda}),
        encoder_norm(o.dim, {.epsilon = 1e-6}),
        decoder(o.decoder_depth, o.decoder_block()),
        decoder_norm(o.dim, {.epsilon = 1e-6}),
        prediction(o.dim, o.image.grid().values_per_patch()),
        unused_positions(positions),
        unused_embedding(o.dim, o.dim),
        grid(o.image.grid()),
        mask_ratio(o.mask_ratio),
        normalise_pixels(o.normalise_pixels),
        preprocessing(ImagePreprocessing::published(grid.channels)) {
    o.check();
  }

  static constexpr auto parts() {
    using Self = MaskedAutoencoder;
    return std::tuple{part("embedding", &Self::embedding),
                      part("class_token", &Self::class_token),
                      part("mask_token", &Self::mask_token),
                      part("positions", &Self::positions, ParameterKind::frozen),
                      part("encoder", &Self::encoder),
                      part("encoder_norm", &Self::encoder_norm),
                      part("decoder", &Self::decoder),
                      part("decoder_norm", &Self::decoder_norm),
                      part("prediction", &Self::prediction),
                      part("unused_positions", &Self::unused_positions, ParameterKind::unused),
                      part("unused_embedding", &Self::unused_embedding, ParameterKind::unused)};
  }

  [[nodiscard]] Index dim() const { return class_token.size(); }

  /// How many patches of an image are shown: the whole part of patches (1 - mask ratio).
  [[nodiscard]] Index kept_patches() const {
    return static_cast<Index>(static_cast<double>(grid.patches()) * (1 - mask_ratio));
  }

  /// Multiply-adds of so many images: patches through the embedding, all tokens through encoder, decoder and prediction.
  [[nodiscard]] double multiply_adds(Index images) const {
    const TokenLayout tokens = TokenLayout::equal(images, 1 + grid.patches());
    return embedding.multiply_adds(TokenLayout::equal(images, grid.patches())) + encoder.multiply_adds(tokens) +
           decoder.multiply_adds(tokens) + prediction.multiply_adds(tokens);
  }

  /// Hides no patch. Images are (C H W) x B in the order channel, row, column.
  /// Throws ShapeError unless the images have the size that the model is for.
  [[nodiscard]] MaskedAutoencoding<S> forward(const Matrix<S>& images, const Run<S>& run = {}) const {
    return forward_masked(images, Matrix<S>::Zero(grid.patches(), images.cols()), run);
  }

  /// Hides the patches of each image whose noise is largest. Noise is patches x B, as the mask.
  /// Throws ShapeError unless images and noise have the sizes that the model is for, OptionError on noise that is no number.
  [[nodiscard]] MaskedAutoencoding<S> forward(const Matrix<S>& images, const Matrix<S>& noise,
                                              const Run<S>& run = {}) const {
    check_inputs(images, noise);
    return forward_masked(images, detail::mask_of(noise, kept_patches()), run);
  }

  /// As forward with noise, and records the pass for backward.
  [[nodiscard]] MaskedAutoencoding<S> forward(const Matrix<S>& images, const Matrix<S>& noise, Tape& tape,
                                              const Run<S>& run = {}) const {
    check_inputs(images, noise);
    tape.layout = layout_of(images.cols());
    tape.mask = detail::mask_of(noise, kept_patches());
    if (images.cols() == 0) return forward_masked(images, tape.mask, run);
    Lent<S> lent(run);
    Pass<S> pass(*tape.layout, lent.threads(), lent.workspace(), run.observer);
    pass.keep_in(&tape.memory.begin());
    const Index total = tape.layout->tokens();
    auto patches = pass.keep(grid.values_per_patch(), grid.patches() * images.cols());
    auto embedded = pass.keep(dim(), patches.cols());
    auto tokens = pass.keep(dim(), total), encoded = pass.keep(dim(), total), latent = pass.keep(dim(), total);
    auto decoded = pass.keep(dim(), total), normalised = pass.keep(dim(), total);
    auto predicted = pass.keep(grid.values_per_patch(), total);
    cut_and_mask(images, tape.mask, patches, pass, embedded, tokens,
                 [&] { embedding.forward(patches, embedded, tape.embedding, pass); });
    {
      const typename Pass<S>::Scope scope(pass, "encoder");
      encoder.forward(tokens, encoded, tape.encoder, pass);
    }
    encoder_norm.forward(encoded, latent, tape.encoder_norm, pass);
    {
      const typename Pass<S>::Scope scope(pass, "decoder");
      decoder.forward(latent, decoded, tape.decoder, pass);
    }
    decoder_norm.forward(decoded, normalised, tape.decoder_norm, pass);
    prediction.forward(normalised, predicted, tape.prediction, pass);
    MaskedAutoencoding<S> result{
        .latent = latent, .prediction = without_class_tokens(predicted, pass.layout), .mask = tape.mask, .loss = {}};
    result.loss = detail::hidden_error(images, grid, result.prediction, result.mask, normalise_pixels);
    return result;
  }

  /// Goes back through a recorded pass: adds dL/dW to the gradient, where `cotangent` = dL/dprediction is
  /// values per patch x patches B. Throws Error if nothing was recorded, ShapeError if the cotangent has another size.
  void backward(const Matrix<S>& cotangent, Tape& tape, MaskedAutoencoder& gradient, const Run<S>& run = {}) const {
    if (!tape.layout) throw Error("masked autoencoder: expected a recorded forward pass, found none");
    const TokenLayout& layout = *tape.layout;
    check_shape("masked autoencoder: cotangent of the prediction", cotangent, grid.values_per_patch(),
                grid.patches() * layout.sets());
    if (layout.sets() == 0) return;
    Lent<S> lent(run);
    const Observer<S> nobody;
    Pass<S> pass(layout, lent.threads(), lent.workspace(), nobody);
    pass.keep_in(&tape.memory.frame());
    Workspace::Frame frame(pass.workspace);
    auto predicted = frame.template matrix<S>(grid.values_per_patch(), layout.tokens());
    auto first = frame.template matrix<S>(dim(), layout.tokens());
    auto second = frame.template matrix<S>(dim(), layout.tokens());
    auto embedded = frame.template matrix<S>(dim(), cotangent.cols());
    auto patches = frame.template matrix<S>(grid.values_per_patch(), cotangent.cols());
    for (Index b = 0; b < layout.sets(); ++b) {
      predicted.col(layout.begin(b)).setZero();
      predicted.middleCols(layout.begin(b) + 1, grid.patches()) =
          cotangent.middleCols(b * grid.patches(), grid.patches());
    }
    prediction.backward(predicted, tape.prediction, first, gradient.prediction, pass);
    decoder_norm.backward(first, tape.decoder_norm, second, gradient.decoder_norm, pass);
    decoder.backward(second, tape.decoder, first, gradient.decoder, pass);
    encoder_norm.backward(first, tape.encoder_norm, second, gradient.encoder_norm, pass);
    encoder.backward(second, tape.encoder, first, gradient.encoder, pass);
    Matrix<S> no_positions = Matrix<S>::Zero(positions.rows(), positions.cols());  // they are fixed
    detail::place_tokens_adjoint(first, gradient.class_token, embedded, no_positions);
    for (Index i = 0; i < embedded.cols(); ++i) {
      if (tape.mask(i % grid.patches(), i / grid.patches()) == 0) continue;
      gradient.mask_token += embedded.col(i);
      embedded.col(i).setZero();
    }
    embedding.backward(embedded, tape.embedding, patches, gradient.embedding, pass);
  }

  /// Standard deviation 0.02, as published.
  void initialise(Random& random) {
    random.fill_normal(class_token);
    random.fill_normal(mask_token);
    class_token *= S(0.02);
    mask_token *= S(0.02);
  }

 private:
  [[nodiscard]] TokenLayout layout_of(Index images) const { return TokenLayout::equal(images, 1 + grid.patches()); }

  void check_images(const Matrix<S>& images) const {
    check_size("masked autoencoder: values of an image", images.rows(), grid.values_per_image());
    check_shape("masked autoencoder: positions", positions, dim(), 1 + grid.patches());
    check_size("masked autoencoder: mask token", mask_token.size(), dim());
  }

  void check_inputs(const Matrix<S>& images, const Matrix<S>& noise) const {
    Options{.mask_ratio = mask_ratio}.check();
    check_images(images);
    check_shape("masked autoencoder: noise", noise, grid.patches(), images.cols());
    check_option(!noise.hasNaN(), "noise of numbers that can be ordered", "nan");
  }

  [[nodiscard]] MaskedAutoencoding<S> forward_masked(const Matrix<S>& images, Matrix<S> mask, const Run<S>& run) const {
    check_images(images);
    const TokenLayout layout = layout_of(images.cols());
    MaskedAutoencoding<S> result{.latent = Matrix<S>(dim(), layout.tokens()),
                                 .prediction = Matrix<S>(grid.values_per_patch(), grid.patches() * images.cols()),
                                 .mask = std::move(mask),
                                 .loss = std::nullopt};
    if (images.cols() == 0) return result;
    Lent<S> lent(run);
    Pass<S> pass(layout, lent.threads(), lent.workspace(), run.observer);
    Workspace::Frame frame(pass.workspace);
    auto tokens = frame.template matrix<S>(dim(), layout.tokens());
    auto encoded = frame.template matrix<S>(dim(), layout.tokens());
    {
      Workspace::Frame embedding_frame(pass.workspace);
      auto patches = embedding_frame.template matrix<S>(grid.values_per_patch(), grid.patches() * images.cols());
      auto embedded = embedding_frame.template matrix<S>(dim(), patches.cols());
      cut_and_mask(images, result.mask, patches, pass, embedded, tokens,
                   [&] { embedding.forward(patches, embedded, pass); });
    }
    {
      const typename Pass<S>::Scope scope(pass, "encoder");
      encoder.forward(tokens, encoded, pass);
    }
    encoder_norm.forward(encoded, result.latent, pass);
    decode(result.latent, result.prediction, pass);
    result.loss = detail::hidden_error(images, grid, result.prediction, result.mask, normalise_pixels);
    return result;
  }

  /// Cuts the patches, embeds them by `embed`, and puts the mask token in the place of the hidden ones.
  template <class Room, class Embed>
  void cut_and_mask(const Matrix<S>& images, const Matrix<S>& mask, Room& patches, Pass<S>& pass, Room& embedded,
                    Room& tokens, const Embed& embed) const {
    detail::cut_patches_into(images, grid, ConvolutionPatchEmbedding<S>::order, patches, pass.threads);
    {
      const typename Pass<S>::Scope scope(pass, "embedding");
      embed();
    }
    for (Index i = 0; i < embedded.cols(); ++i)
      if (mask(i % grid.patches(), i / grid.patches()) != 0) embedded.col(i) = mask_token;
    detail::place_tokens(class_token, embedded, positions, tokens, pass.threads);
    pass.observe("tokens", tokens);
  }

  void decode(const Matrix<S>& latent, Matrix<S>& pixels, Pass<S>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto decoded = frame.template matrix<S>(dim(), latent.cols());
    auto normalised = frame.template matrix<S>(dim(), latent.cols());
    {
      const typename Pass<S>::Scope scope(pass, "decoder");
      decoder.forward(latent, decoded, pass);
    }
    decoder_norm.forward(decoded, normalised, pass);
    auto all = frame.template matrix<S>(pixels.rows(), latent.cols());
    prediction.forward(normalised, all, pass);
    pixels = without_class_tokens(all, pass.layout);
  }

  [[nodiscard]] Matrix<S> without_class_tokens(ConstTokens<S> all, const TokenLayout& layout) const {
    Matrix<S> patches(all.rows(), grid.patches() * layout.sets());
    for (Index b = 0; b < layout.sets(); ++b)
      patches.middleCols(b * grid.patches(), grid.patches()) = all.middleCols(layout.begin(b) + 1, grid.patches());
    return patches;
  }
};

namespace detail {

/// What is uniform within 1 / sqrt(inputs) becomes uniform within sqrt(6 / (inputs + outputs)).
template <class Map>
void widen_to_xavier(Map& map, Index inputs, Index outputs) {
  const auto in = static_cast<double>(inputs), out = static_cast<double>(outputs);
  map *= static_cast<typename Map::Scalar>(std::sqrt(6 * in / (in + out)));
}

template <crate::Scalar S>
void initialise_xavier(Linear<S>& linear) {
  widen_to_xavier(linear.weight, linear.input_dim(), linear.output_dim());
  linear.bias.setZero();
}

template <crate::Scalar S>
void initialise_xavier(Mssa<S>& attention) {
  auto& bases = attention.subspaces.bases();
  widen_to_xavier(bases, bases.rows(), bases.cols());
  if (attention.output) initialise_xavier(*attention.output);
}

}  // namespace detail

/// The random start of the masked autoencoder as published: linear maps, the patch embedding and U uniform within
/// sqrt(6 / (inputs + outputs)), biases zero but that of the embedding, tokens normal with deviation 0.02, dictionaries and norms
/// as everywhere.
template <crate::Scalar S>
void initialise(MaskedAutoencoder<S>& model, std::uint64_t seed) {
  detail::initialise_parts(model, seed, std::string());
  Linear<S>& embedding = model.embedding.projection;
  detail::widen_to_xavier(embedding.weight, embedding.input_dim(), embedding.output_dim());
  for (auto& block : model.encoder.layers) detail::initialise_xavier(block.compress.layer.layer);
  for (auto& block : model.decoder.layers) detail::initialise_xavier(block.decompress.layer.layer);
  detail::initialise_xavier(model.prediction);
  detail::initialise_xavier(model.unused_embedding);
}

}  // namespace crate
