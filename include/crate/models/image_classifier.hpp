// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "crate/blocks/crate_alpha_block.hpp"
#include "crate/blocks/crate_block.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/layers/place_tokens.hpp"
#include "crate/layers/pooling.hpp"
#include "crate/models/encoder.hpp"
#include "crate/models/image_preprocessing.hpp"
#include "crate/operators/patches.hpp"
#include "crate/operators/positions.hpp"

// The image classifiers: CRATE and CRATE-alpha.

namespace crate {

namespace detail {

/// Throws OptionError unless whole patches fill a side of an image; `lines` are the patch's rows, or its columns.
inline void check_side(std::string_view side, Index length, Index patch, std::string_view lines) {
  check_option(length >= 1 && length % patch == 0, concatenate(side, ": a multiple of the patch's ", patch, " ", lines),
               length);
}

}  // namespace detail

/// The size of images and of the patches they are cut into.
struct ImageOptions {
  Index height = 224, width = 224;
  Index channels = 3;
  Index patch_height = 16, patch_width = 16;

  /// Throws OptionError unless whole patches fill the image.
  [[nodiscard]] PatchGrid grid() const {
    check_option(patch_height >= 1 && patch_width >= 1, "image patches: at least 1 x 1 pixels",
                 concatenate(patch_height, " x ", patch_width));
    detail::check_side("image height", height, patch_height, "rows");
    detail::check_side("image width", width, patch_width, "columns");
    check_option(channels >= 1, "image: channels >= 1", channels);
    return {height / patch_height, width / patch_width, patch_height, patch_width, channels};
  }
};

namespace detail {

/// Resizes the grid to images of another size with the same patches, and interpolates the positions.
template <crate::Scalar S>
void resize_images(PatchGrid& grid, Matrix<S>& positions, Index height, Index width) {
  const PatchGrid resized = ImageOptions{.height = height,
                                         .width = width,
                                         .channels = grid.channels,
                                         .patch_height = grid.height,
                                         .patch_width = grid.width}
                                .grid();
  positions = interpolate_positions(positions, grid.rows, grid.columns, resized.rows, resized.columns);
  grid = resized;
}

}  // namespace detail

/// W LN(z) + b.
template <crate::Scalar S>
struct ClassifierHead : Chain<ClassifierHead<S>, S> {
  LayerNorm<S> norm;
  Linear<S> linear;

  /// Throws OptionError unless dim, classes >= 1.
  ClassifierHead(Index dim, Index classes, const LayerNormOptions& options = {})
      : norm(dim, options), linear(dim, checked(classes)) {}

  static constexpr auto parts() {
    return std::tuple{part("norm", &ClassifierHead::norm), part("linear", &ClassifierHead::linear)};
  }

 private:
  [[nodiscard]] static Index checked(Index classes) {
    check_option(classes >= 1, "classifier: classes >= 1", classes);
    return classes;
  }
};

template <class BlockOptions>
struct ImageClassifierOptions {
  ImageOptions image = {};
  Index classes = 1000;  ///< >= 1
  Index depth = 12;      ///< blocks, >= 1
  Pooling pooling = Pooling::class_token;
  double token_dropout = 0;  ///< of the input of the first block, in recorded passes only
  double head_norm_epsilon = 1e-5;
  BlockOptions block = {};
};

/// A classifier's description other than its parameters.
struct ImageClassifierDescription {
  ImagePreprocessing preprocessing;           ///< as published by default
  std::vector<std::string> class_names = {};  ///< of each logit; empty if unknown
  bool head_is_trained = true;                ///< false if only the blocks were trained: then logits are meaningless
};

/// Images (C H W) x B to logits, classes x B:
///   Z^1 = [class token, embedded patches] + positions,   Z^{l+1} = block^l(Z^l),   logits = head(pooled Z^{L+1}).
/// Source: arXiv 2311.13110, section 4.
template <class Block, class Embedding>
struct ImageClassifier : Chain<ImageClassifier<Block, Embedding>, typename Block::Scalar> {
  using Scalar = typename Block::Scalar;
  using Input = Images<Scalar>;
  using Options = ImageClassifierOptions<typename Block::Options>;

  Embedding embedding;
  PlaceTokens<Scalar> tokens;
  Encoder<Block> encoder;
  Pool<Scalar> pool;
  ClassifierHead<Scalar> head;
  ImageClassifierDescription about;

  /// All parameters zero except norms. Throws OptionError if an option is out of range.
  explicit ImageClassifier(const Options& o)
      : embedding(o.image.grid(), o.block.dim),
        tokens(Matrix<Scalar>::Zero(o.block.dim, 1 + o.image.grid().patches()), o.token_dropout),
        encoder(o.depth, o.block),
        pool{o.block.dim, o.pooling},
        head(o.block.dim, o.classes, {.epsilon = o.head_norm_epsilon}),
        about{ImagePreprocessing::published(o.image.channels)} {}

  static constexpr auto parts() {
    using Self = ImageClassifier;
    return std::tuple{part("embedding", &Self::embedding), part("", &Self::tokens), part("", &Self::encoder),
                      part("head", &Self::head)};
  }

  static constexpr auto links() {
    using Self = ImageClassifier;
    return std::tuple{part("embedding", &Self::embedding), part("tokens", &Self::tokens), part("", &Self::encoder),
                      part("pool", &Self::pool), part("head", &Self::head)};
  }

  [[nodiscard]] Index dim() const { return pool.dim; }

  /// Changes the model to images of another size: positions are interpolated to the new grid of patches, as published.
  /// Throws OptionError unless whole patches fill the image.
  void resize_images(Index height, Index width) {
    detail::resize_images(embedding.grid, tokens.positions, height, width);
  }
};

/// The CRATE classifier of arXiv 2311.13110.
template <crate::Scalar S>
using CrateClassifier = ImageClassifier<CrateBlock<S>, NormalisedPatchEmbedding<S>>;

/// The CRATE-alpha classifier of arXiv 2405.20299, whose blocks use overcomplete dictionary learning (ODL).
template <crate::Scalar S>
using CrateAlphaClassifier = ImageClassifier<CrateAlphaBlock<S>, ConvolutionPatchEmbedding<S>>;

}  // namespace crate
