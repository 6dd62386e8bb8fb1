// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "crate/blocks/crate_block.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/layers/pooling.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/models/masked_autoencoder.hpp"

// Classifiers fine-tuned from masked autoencoders.

namespace crate {

/// A classifier on the encoder of CRATE-MAE: unlike CrateClassifier's, its patch embedding is linear. With transformer
/// blocks it is a TransformerClassifier.
template <crate::Scalar S>
using CrateMaskedClassifier = ImageClassifier<CrateBlock<S>, ConvolutionPatchEmbedding<S>>;

namespace detail {

/// The settings of CRATE-MAE's encoder.
[[nodiscard]] inline ImageClassifierOptions<CrateBlockOptions> options_of_masked_classifier() {
  const MaskedAutoencoderOptions published;
  return {.head_norm_epsilon = 1e-6, .block = {.step = published.step, .lambda = published.lambda}};
}

}  // namespace detail

/// A classifier with the embedding, positions, class token, blocks and norm of a masked autoencoder's encoder, and a
/// new head of zeros for this number of classes. The positions, which are fixed in the autoencoder, become trainable.
/// Throws OptionError unless classes >= 1.
template <class EncoderBlock, class DecoderBlock>
[[nodiscard]] ImageClassifier<EncoderBlock, ConvolutionPatchEmbedding<typename EncoderBlock::Scalar>> classifier_of(
    const MaskedAutoencoder<EncoderBlock, DecoderBlock>& autoencoder, Index classes, Pooling pooling) {
  using S = typename EncoderBlock::Scalar;
  const PatchGrid& grid = patch_grid(autoencoder);
  typename EncoderBlock::Options smallest;
  smallest.dim = smallest.heads = 1;
  ImageClassifier<EncoderBlock, ConvolutionPatchEmbedding<S>> classifier({.image = {.height = grid.image_height(),
                                                                                    .width = grid.image_width(),
                                                                                    .channels = grid.channels,
                                                                                    .patch_height = grid.height,
                                                                                    .patch_width = grid.width},
                                                                          .classes = classes,
                                                                          .depth = 1,
                                                                          .pooling = pooling,
                                                                          .block = smallest});
  classifier.embedding = autoencoder.embedding.embedding;
  classifier.tokens.class_token = autoencoder.tokens.class_token;
  classifier.tokens.positions = autoencoder.tokens.positions;
  classifier.encoder = autoencoder.encoder;
  classifier.pool.dim = autoencoder.dim();
  classifier.head = ClassifierHead<S>(autoencoder.dim(), classes, autoencoder.encoder_norm.options);
  classifier.head.norm = autoencoder.encoder_norm;
  classifier.about.preprocessing = autoencoder.about.preprocessing;
  return classifier;
}

}  // namespace crate
