// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/blocks/crate_block.hpp"
#include "crate/blocks/crate_decoder_block.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/masked_patch_embedding.hpp"
#include "crate/layers/place_tokens.hpp"
#include "crate/layers/without_class_token.hpp"
#include "crate/models/encoder.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/operators/losses.hpp"
#include "crate/operators/patches.hpp"
#include "crate/operators/positions.hpp"

namespace crate {

/// Options of CRATE-MAE.
struct MaskedAutoencoderOptions {
  ImageOptions image = {};
  Index dim = 0;       ///< d, a positive multiple of 4
  Index heads = 0;     ///< K
  Index head_dim = 0;  ///< p; 0 for d / K
  Index depth = 12;
  Index decoder_depth = 12;
  Index decoder_heads = 0;        ///< 0: as in the encoder
  Index decoder_head_dim = 0;     ///< 0: the encoder's K p over the number of decoder heads
  double step = 0.1;              ///< eta
  double lambda = 0.5;            ///< threshold of the encoder; the decoder has none
  double mask_ratio = 0.75;       ///< in [0, 1)
  bool normalise_pixels = false;  ///< compute the loss on patches normalised by their own mean and deviation

  /// Throws OptionError unless the number of decoder heads divides their total width.
  [[nodiscard]] CrateDecoderBlockOptions decoder_block() const {
    if (decoder_heads == 0)
      return {.dim = dim, .heads = heads, .head_dim = decoder_head_dim == 0 ? head_dim : decoder_head_dim};
    if (decoder_head_dim != 0) return {.dim = dim, .heads = decoder_heads, .head_dim = decoder_head_dim};
    const Index width = head_dim == 0 ? dim : heads * head_dim;
    check_option(decoder_heads >= 1 && width % decoder_heads == 0,
                 concatenate("decoder heads that divide the encoder's width ", width), decoder_heads);
    return {.dim = dim, .heads = decoder_heads, .head_dim = width / decoder_heads};
  }
};

namespace detail {

/// 0 for the `kept` patches with the smallest noise in each image, 1 for the others; of equal noise the
/// earlier is kept.
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

}  // namespace detail

/// Options of a masked autoencoder with any blocks.
template <class EncoderOptions, class DecoderOptions>
struct BlockwiseAutoencoderOptions {
  ImageOptions image = {};
  EncoderOptions encoder = {};
  DecoderOptions decoder = {};  ///< must have the encoder's dimension
  Index depth = 12;
  Index decoder_depth = 12;
  double mask_ratio = 0.75;       ///< in [0, 1)
  bool normalise_pixels = false;  ///< compute the loss on patches normalised by their own mean and deviation
};

namespace detail {

template <class EncoderBlock, class DecoderBlock>
struct OptionsOfAutoencoder {
  using type = BlockwiseAutoencoderOptions<typename EncoderBlock::Options, typename DecoderBlock::Options>;
};
template <Scalar S>
struct OptionsOfAutoencoder<CrateBlock<S>, CrateDecoderBlock<S>> {
  using type = MaskedAutoencoderOptions;
};

}  // namespace detail

/// A masked autoencoder's description other than its parameters.
struct MaskedAutoencoderDescription {
  ImagePreprocessing preprocessing;  ///< as published by default
  double mask_ratio = 0.75;          ///< in [0, 1)
  bool normalise_pixels = false;     ///< compute the loss on patches normalised by their own mean and deviation
};

/// Masked images to the pixels of all patches, values per patch x patches B, in the order row, column, channel:
///   Z = [class token, embedded patches] + positions,   prediction = W LN(decoder(LN(encoder(Z)))) + b.
/// Mask tokens replace hidden patches before the encoder, which sees all positions.
/// Source: arXiv 2404.02446, where the decoder's blocks mirror the encoder's.
template <class EncoderBlock, class DecoderBlock>
struct MaskedAutoencoder : Chain<MaskedAutoencoder<EncoderBlock, DecoderBlock>, typename EncoderBlock::Scalar> {
  using Scalar = typename EncoderBlock::Scalar;
  using Input = MaskedImages<Scalar>;

  using Options = typename detail::OptionsOfAutoencoder<EncoderBlock, DecoderBlock>::type;

  MaskedPatchEmbedding<ConvolutionPatchEmbedding<Scalar>> embedding;
  PlaceTokens<Scalar, ParameterKind::frozen> tokens;  ///< fixed positions, the published `decoder_pos_embed`
  Encoder<EncoderBlock> encoder;
  LayerNorm<Scalar> encoder_norm;
  Decoder<DecoderBlock> decoder;
  WithoutClassToken<Scalar> patches;
  LayerNorm<Scalar> decoder_norm;
  Linear<Scalar> prediction;        ///< to the pixels of a patch
  Matrix<Scalar> unused_positions;  ///< the published `pos_embed`
  Linear<Scalar> unused_embedding;  ///< the published `decoder_embed`
  MaskedAutoencoderDescription about;

  /// Fixed positions; all other parameters zero except norms. Throws OptionError if an option is out of range.
  explicit MaskedAutoencoder(
      const BlockwiseAutoencoderOptions<typename EncoderBlock::Options, typename DecoderBlock::Options>& o)
      : embedding(ConvolutionPatchEmbedding<Scalar>(o.image.grid(), o.encoder.dim)),
        tokens(sin_cos_positions<Scalar>(o.encoder.dim, o.image.grid().rows, o.image.grid().columns)),
        encoder(o.depth, o.encoder),
        encoder_norm(o.encoder.dim, {.epsilon = 1e-6}),
        decoder(o.decoder_depth, o.decoder),
        patches{o.encoder.dim},
        decoder_norm(o.encoder.dim, {.epsilon = 1e-6}),
        prediction(o.encoder.dim, o.image.grid().values_per_patch()),
        unused_positions(tokens.positions),
        unused_embedding(o.encoder.dim, o.encoder.dim),
        about{ImagePreprocessing::published(o.image.channels), o.mask_ratio, o.normalise_pixels} {
    check_option(o.mask_ratio >= 0 && o.mask_ratio < 1, "mask ratio in [0, 1)", o.mask_ratio);
    check_size("masked autoencoder: dimension of the decoder", decoder.input_dim(), encoder.output_dim());
  }

  /// The published CRATE-MAE.
  explicit MaskedAutoencoder(const MaskedAutoencoderOptions& o) requires
      std::same_as<EncoderBlock, CrateBlock<Scalar>> && std::same_as<DecoderBlock, CrateDecoderBlock<Scalar>>
      : MaskedAutoencoder(BlockwiseAutoencoderOptions<CrateBlockOptions, CrateDecoderBlockOptions>{
            .image = o.image,
            .encoder = {.dim = o.dim, .heads = o.heads, .head_dim = o.head_dim, .step = o.step, .lambda = o.lambda},
            .decoder = o.decoder_block(),
            .depth = o.depth,
            .decoder_depth = o.decoder_depth,
            .mask_ratio = o.mask_ratio,
            .normalise_pixels = o.normalise_pixels}) {}

  static constexpr auto parts() {
    using Self = MaskedAutoencoder;
    return std::tuple{part("", &Self::embedding),
                      part("", &Self::tokens),
                      part("encoder", &Self::encoder),
                      part("encoder_norm", &Self::encoder_norm),
                      part("decoder", &Self::decoder),
                      part("decoder_norm", &Self::decoder_norm),
                      part("prediction", &Self::prediction),
                      part("unused_positions", &Self::unused_positions, ParameterKind::unused),
                      part("unused_embedding", &Self::unused_embedding, ParameterKind::unused)};
  }

  static constexpr auto links() {
    using Self = MaskedAutoencoder;
    return std::tuple{part("embedding", &Self::embedding),       part("tokens", &Self::tokens),
                      part("encoder", &Self::encoder),           part("encoder_norm", &Self::encoder_norm),
                      part("decoder", &Self::decoder),           part("patches", &Self::patches),
                      part("decoder_norm", &Self::decoder_norm), part("prediction", &Self::prediction)};
  }

  [[nodiscard]] Index dim() const { return patches.dim; }

  /// Changes the model to images of another size: positions are interpolated to the new grid of patches. Throws
  /// OptionError unless whole patches fill the image.
  void resize_images(Index height, Index width) {
    detail::resize_images(embedding.embedding.grid, tokens.positions, height, width);
    unused_positions = tokens.positions;
  }
};

/// The masked autoencoder CRATE-MAE.
template <crate::Scalar S>
using CrateMaskedAutoencoder = MaskedAutoencoder<CrateBlock<S>, CrateDecoderBlock<S>>;

/// The result of a masked autoencoder for a batch of images.
template <crate::Scalar S>
struct MaskedAutoencoding {
  Matrix<S> latent;      ///< LN of the encoder's output, d x (1 + patches) B
  Matrix<S> prediction;  ///< pixels of every patch, values per patch x patches B, in the order row, column, channel
  Matrix<S> mask;        ///< patches x B, 1 where a patch was hidden
  std::optional<double> loss;  ///< mean squared error of the hidden patches, if there are any
};

/// The number of visible patches per image in a masked autoencoder, folded or not: floor(patches (1 - mask ratio)).
template <class Model>
[[nodiscard]] Index kept_patches(const Model& model) {
  return static_cast<Index>(static_cast<double>(patch_grid(model).patches()) * (1 - model.about.mask_ratio));
}

/// Hides the patches with the largest noise in each image. Noise and result, 1 where a patch is hidden, are
/// patches x B. Throws ShapeError unless the noise has the size of the model's grid, OptionError if it contains nan.
template <class Model>
[[nodiscard]] Matrix<typename Model::Scalar> mask_by_noise(const Model& model,
                                                           const Matrix<typename Model::Scalar>& noise) {
  check_size("masked autoencoder: noise: rows", noise.rows(), patch_grid(model).patches());
  check_option(model.about.mask_ratio >= 0 && model.about.mask_ratio < 1, "mask ratio in [0, 1)",
               model.about.mask_ratio);
  check_option(!noise.hasNaN(), "noise without nan", "nan");
  return detail::mask_of(noise, kept_patches(model));
}

namespace detail {

template <class Model>
[[nodiscard]] MaskedAutoencoding<typename Model::Scalar> autoencode_masked(const Model& model,
                                                                           const Matrix<typename Model::Scalar>& images,
                                                                           Matrix<typename Model::Scalar> mask,
                                                                           Run<typename Model::Scalar> run) {
  using S = typename Model::Scalar;
  MaskedAutoencoding<S> result{
      .latent = Matrix<S>(model.front().output_dim(), 0), .prediction = {}, .mask = std::move(mask), .loss = {}};
  run.observer = [&, outer = run.observer](HalfStep<S> step) {
    if (outer) outer(step);
    if (step.name == "encoder_norm") result.latent = step.activation;
  };
  result.prediction = model.forward(MaskedImages(images, result.mask), run);
  const Matrix<S> target = cut_patches(images, patch_grid(model), PatchOrder::row_column_channel);
  const LossSum error = masked_patch_error(result.prediction, target, result.mask, model.about.normalise_pixels);
  if (error.count > 0) result.loss = error.mean();
  return result;
}

}  // namespace detail

/// Runs a masked autoencoder, folded or not, on images (C H W) x B, in the order channel, row, column, without hiding
/// patches. Throws ShapeError unless the images have the model's size.
template <class Model>
[[nodiscard]] MaskedAutoencoding<typename Model::Scalar> autoencode(const Model& model,
                                                                    const Matrix<typename Model::Scalar>& images,
                                                                    const Run<typename Model::Scalar>& run = {}) {
  using S = typename Model::Scalar;
  return detail::autoencode_masked<Model>(model, images, Matrix<S>::Zero(patch_grid(model).patches(), images.cols()),
                                          run);
}

/// autoencode with the patches of largest noise in each image hidden. Throws as mask_by_noise, too.
template <class Model>
[[nodiscard]] MaskedAutoencoding<typename Model::Scalar> autoencode(const Model& model,
                                                                    const Matrix<typename Model::Scalar>& images,
                                                                    const Matrix<typename Model::Scalar>& noise,
                                                                    const Run<typename Model::Scalar>& run = {}) {
  check_size("masked autoencoder: noise: columns", noise.cols(), images.cols());
  return detail::autoencode_masked<Model>(model, images, mask_by_noise(model, noise), run);
}

namespace detail {

/// Scales entries uniform within 1 / sqrt(inputs) to uniform within sqrt(6 / (inputs + outputs)).
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

/// Applies Xavier initialisation to the maps of a block.
template <class L>
void initialise_xavier(L& layer) {
  if constexpr (HasParts<L>) for_each_entry(L::parts(), [&](const auto& entry) { initialise_xavier(entry.of(layer)); });
}

}  // namespace detail

/// The published initialisation of the masked autoencoder: linear maps, the patch embedding and U uniform within sqrt(6
/// / (inputs + outputs)) (Xavier), biases zero except that of the embedding, tokens normal with deviation 0.02,
/// dictionaries and norms as in all models.
template <class EncoderBlock, class DecoderBlock>
void initialise(MaskedAutoencoder<EncoderBlock, DecoderBlock>& model, std::uint64_t seed) {
  using S = typename EncoderBlock::Scalar;
  detail::initialise_parts(model, seed, std::string());
  Random random(seed, detail::stream_of_name(""));
  for (Vector<S>* const token : {&model.tokens.class_token, &model.embedding.mask_token}) {
    random.fill_normal(*token);
    *token *= S(0.02);
  }
  Linear<S>& embedding = model.embedding.embedding.map;
  detail::widen_to_xavier(embedding.weight, embedding.input_dim(), embedding.output_dim());
  for (auto& block : model.encoder.layers) detail::initialise_xavier(block);
  for (auto& block : model.decoder.layers) detail::initialise_xavier(block);
  detail::initialise_xavier(model.prediction);
  detail::initialise_xavier(model.unused_embedding);
}

}  // namespace crate
