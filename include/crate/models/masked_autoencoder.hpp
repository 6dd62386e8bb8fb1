// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <tuple>
#include <vector>

#include "crate/blocks/crate_block.hpp"
#include "crate/blocks/crate_decoder_block.hpp"
#include "crate/models/encoder.hpp"
#include "crate/models/image_classifier.hpp"
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
  double step = 0.1;              ///< eta
  double lambda = 0.5;            ///< of the encoder; the decoder has none
  double mask_ratio = 0.75;       ///< in [0, 1)
  bool normalise_pixels = false;  ///< compare with each patch normalised by its own mean and deviation

  void check() const { check_option(mask_ratio >= 0 && mask_ratio < 1, "mask ratio in [0, 1)", mask_ratio); }
};

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

  /// Fixed positions; the rest zero but the norms. Throws OptionError on an option out of range.
  explicit MaskedAutoencoder(const Options& o)
      : embedding(o.image.grid().values_per_patch(), o.dim),
        class_token(Vector<S>::Zero(o.dim)),
        mask_token(Vector<S>::Zero(o.dim)),
        positions(sin_cos_positions<S>(o.dim, o.image.grid().rows, o.image.grid().columns)),
        encoder(o.depth, {.dim = o.dim, .heads = o.heads, .head_dim = o.head_dim, .step = o.step, .lambda = o.lambda}),
        encoder_norm(o.dim, {.epsilon = 1e-6}),
        decoder(o.decoder_depth, {.dim = o.dim, .heads = o.heads, .head_dim = o.head_dim}),
        decoder_norm(o.dim, {.epsilon = 1e-6}),
        prediction(o.dim, o.image.grid().values_per_patch()),
        unused_positions(positions),
        unused_embedding(o.dim, o.dim),
        grid(o.image.grid()),
        mask_ratio(o.mask_ratio),
        normalise_pixels(o.normalise_pixels) {
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
  /// Throws ShapeError unless images and noise have the sizes that the model is for.
  [[nodiscard]] MaskedAutoencoding<S> forward(const Matrix<S>& images, const Matrix<S>& noise,
                                              const Run<S>& run = {}) const {
    Options{.mask_ratio = mask_ratio}.check();
    check_shape("masked autoencoder: noise", noise, grid.patches(), images.cols());
    return forward_masked(images, mask_of(noise), run);
  }

  /// Standard deviation 0.02, as published.
  void initialise(Random& random) {
    random.fill_normal(class_token);
    random.fill_normal(mask_token);
    class_token *= S(0.02);
    mask_token *= S(0.02);
  }

 private:
  /// 0 for the patches of smallest noise, 1 for the others; of equal noise the earlier is kept.
  [[nodiscard]] Matrix<S> mask_of(const Matrix<S>& noise) const {
    Matrix<S> mask = Matrix<S>::Ones(noise.rows(), noise.cols());
    std::vector<Index> order(static_cast<std::size_t>(noise.rows()));
    for (Index b = 0; b < noise.cols(); ++b) {
      std::iota(order.begin(), order.end(), Index{0});
      std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) { return noise(i, b) < noise(j, b); });
      for (Index i = 0; i < kept_patches(); ++i) mask(order[static_cast<std::size_t>(i)], b) = 0;
    }
    return mask;
  }

  [[nodiscard]] MaskedAutoencoding<S> forward_masked(const Matrix<S>& images, Matrix<S> mask, const Run<S>& run) const {
    check_size("masked autoencoder: values of an image", images.rows(), grid.values_per_image());
    const TokenLayout layout = TokenLayout::equal(images.cols(), 1 + grid.patches());
    Lent<S> lent(run);
    Pass<S> pass(layout, lent.threads(), lent.workspace(), run.observer);
    Workspace::Frame frame(pass.workspace);
    auto tokens = frame.template matrix<S>(dim(), layout.tokens());
    auto encoded = frame.template matrix<S>(dim(), layout.tokens());
    MaskedAutoencoding<S> result{.latent = Matrix<S>(dim(), layout.tokens()),
                                 .prediction = Matrix<S>(grid.values_per_patch(), grid.patches() * images.cols()),
                                 .mask = std::move(mask),
                                 .loss = std::nullopt};
    embed(images, result.mask, tokens, pass);
    pass.observe("tokens", tokens);
    {
      const typename Pass<S>::Scope scope(pass, "encoder");
      encoder.forward(tokens, encoded, pass);
    }
    encoder_norm.forward(encoded, result.latent, pass);
    decode(result.latent, result.prediction, pass);
    result.loss = loss(images, result.prediction, result.mask);
    return result;
  }

  void embed(const Matrix<S>& images, const Matrix<S>& mask, Tokens<S> tokens, Pass<S>& pass) const {
    check_shape("masked autoencoder: positions", positions, dim(), 1 + grid.patches());
    check_size("masked autoencoder: mask token", mask_token.size(), dim());
    Workspace::Frame frame(pass.workspace);
    auto patches = frame.template matrix<S>(grid.values_per_patch(), grid.patches() * images.cols());
    detail::cut_patches_into(images, grid, ConvolutionPatchEmbedding<S>::order, patches, pass.threads);
    auto embedded = frame.template matrix<S>(dim(), patches.cols());
    {
      const typename Pass<S>::Scope scope(pass, "embedding");
      embedding.forward(patches, embedded, pass);
    }
    for (Index b = 0; b < images.cols(); ++b) {
      auto set = tokens.middleCols(pass.layout.begin(b), pass.layout.length(b));
      set.col(0) = class_token;
      for (Index i = 0; i < grid.patches(); ++i) {
        if (mask(i, b) != 0)
          set.col(1 + i) = mask_token;
        else
          set.col(1 + i) = embedded.col(b * grid.patches() + i);
      }
      set += positions;
    }
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
    for (Index b = 0; b < pass.layout.sets(); ++b)
      pixels.middleCols(b * grid.patches(), grid.patches()) = all.middleCols(pass.layout.begin(b) + 1, grid.patches());
  }

  /// Mean over the hidden patches of the mean squared error of their pixels. Normalised pixels have the patch's mean taken off
  /// and are divided by sqrt(variance + 1e-6), the variance over n - 1.
  [[nodiscard]] std::optional<double> loss(const Matrix<S>& images, const Matrix<S>& predicted,
                                           const Matrix<S>& mask) const {
    Matrix<S> target = cut_patches(images, grid, PatchOrder::row_column_channel);
    double sum = 0, hidden = 0;
    for (Index i = 0; i < target.cols(); ++i) {
      if (mask(i % grid.patches(), i / grid.patches()) == 0) continue;
      auto patch = target.col(i);
      if (normalise_pixels) {
        const S mean = patch.mean();
        const S variance = (patch.array() - mean).square().sum() / static_cast<S>(patch.size() - 1);
        patch = (patch.array() - mean) / std::sqrt(variance + S(1e-6));
      }
      sum += static_cast<double>((predicted.col(i) - patch).squaredNorm()) / static_cast<double>(patch.size());
      ++hidden;
    }
    if (hidden == 0) return std::nullopt;
    return sum / hidden;
  }
};

}  // namespace crate
