// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>
#include <utility>

#include "crate/blocks/crate_alpha_block.hpp"
#include "crate/blocks/crate_block.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/linear.hpp"
#include "crate/models/encoder.hpp"
#include "crate/operators/patches.hpp"
#include "crate/operators/positions.hpp"

// The image classifiers: CRATE and CRATE-alpha.

namespace crate {

/// What the head reads.
enum class Pooling {
  class_token,  ///< the first
  mean          ///< the mean of all, the class token included
};

/// The size of images and of the patches they are cut into.
struct ImageOptions {
  Index height = 224, width = 224;
  Index channels = 3;
  Index patch_height = 16, patch_width = 16;

  /// Throws OptionError unless whole patches fill the image.
  [[nodiscard]] PatchGrid grid() const {
    check_option(patch_height >= 1 && patch_width >= 1, "patches of at least 1 x 1 pixels",
                 concatenate(patch_height, " x ", patch_width));
    check_option(height >= 1 && height % patch_height == 0, concatenate("image height a multiple of ", patch_height),
                 height);
    check_option(width >= 1 && width % patch_width == 0, concatenate("image width a multiple of ", patch_width), width);
    check_option(channels >= 1, "image channels >= 1", channels);
    return {height / patch_height, width / patch_width, patch_height, patch_width, channels};
  }
};

/// CRATE's patch embedding: LN(W LN(x) + b) of a patch x, pixels in the order row, column, channel.
template <crate::Scalar S>
struct NormalisedPatchEmbedding : Chain<NormalisedPatchEmbedding<S>, S> {
  static constexpr PatchOrder order = PatchOrder::row_column_channel;

  LayerNorm<S> pixel_norm;
  Linear<S> projection;
  LayerNorm<S> token_norm;

  NormalisedPatchEmbedding(Index pixels, Index dim) : pixel_norm(pixels), projection(pixels, dim), token_norm(dim) {}

  static constexpr auto parts() {
    return std::tuple{part("pixel_norm", &NormalisedPatchEmbedding::pixel_norm),
                      part("projection", &NormalisedPatchEmbedding::projection),
                      part("token_norm", &NormalisedPatchEmbedding::token_norm)};
  }
};

/// A convolution whose kernel is as large as its stride, which is W x + b of a patch x, pixels in the order channel, row,
/// column.
template <crate::Scalar S>
struct ConvolutionPatchEmbedding : Chain<ConvolutionPatchEmbedding<S>, S> {
  static constexpr PatchOrder order = PatchOrder::channel_row_column;

  Linear<S> projection;

  ConvolutionPatchEmbedding(Index pixels, Index dim) : projection(pixels, dim) {}

  static constexpr auto parts() { return std::tuple{part("", &ConvolutionPatchEmbedding::projection)}; }
};

/// W LN(z) + b.
template <crate::Scalar S>
struct ClassifierHead : Chain<ClassifierHead<S>, S> {
  LayerNorm<S> norm;
  Linear<S> linear;

  ClassifierHead(Index dim, Index classes) : norm(dim), linear(dim, classes) {}

  static constexpr auto parts() {
    return std::tuple{part("norm", &ClassifierHead::norm), part("linear", &ClassifierHead::linear)};
  }
};

template <class BlockOptions>
struct ImageClassifierOptions {
  ImageOptions image = {};
  Index classes = 1000;  ///< >= 1
  Index depth = 12;      ///< blocks, >= 1
  Pooling pooling = Pooling::class_token;
  BlockOptions block = {};
};

/// Images to logits:
///   Z^1 = [class token, embedded patches] + positions,   Z^{l+1} = block^l(Z^l),   logits = head(pooled Z^{L+1}).
/// Source: arXiv 2311.13110, section 4.
template <class Block, class Embedding>
struct ImageClassifier {
  using Scalar = typename Block::Scalar;
  using Options = ImageClassifierOptions<typename Block::Options>;

  Embedding embedding;
  Vector<Scalar> class_token;  ///< d
  Matrix<Scalar> positions;    ///< d x (1 + patches)
  Encoder<Block> encoder;
  ClassifierHead<Scalar> head;
  PatchGrid grid;
  Pooling pooling;

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit ImageClassifier(const Options& options)
      : embedding(options.image.grid().values_per_patch(), options.block.dim),
        class_token(Vector<Scalar>::Zero(options.block.dim)),
        positions(Matrix<Scalar>::Zero(options.block.dim, 1 + options.image.grid().patches())),
        encoder(options.depth, options.block),
        head(options.block.dim, options.classes),
        grid(options.image.grid()),
        pooling(options.pooling) {}

  static constexpr auto parts() {
    return std::tuple{part("embedding", &ImageClassifier::embedding),
                      part("class_token", &ImageClassifier::class_token),
                      part("positions", &ImageClassifier::positions), part("", &ImageClassifier::encoder),
                      part("head", &ImageClassifier::head)};
  }

  [[nodiscard]] Index dim() const { return class_token.size(); }
  [[nodiscard]] Index classes() const { return head.output_dim(); }

  /// Multiply-adds of so many images: the patches go through the embedding, all tokens through the blocks, one through the head.
  [[nodiscard]] double multiply_adds(Index images) const {
    return embedding.multiply_adds(TokenLayout::equal(images, grid.patches())) +
           encoder.multiply_adds(TokenLayout::equal(images, 1 + grid.patches())) +
           head.multiply_adds(TokenLayout::equal(images, 1));
  }

  /// The same model for images of another size: its positions stretched to the new grid of patches, as published.
  /// Throws OptionError unless whole patches fill the image.
  void resize_images(Index height, Index width) {
    const PatchGrid resized = ImageOptions{.height = height,
                                           .width = width,
                                           .channels = grid.channels,
                                           .patch_height = grid.height,
                                           .patch_width = grid.width}
                                  .grid();
    positions = interpolate_positions(positions, grid.rows, grid.columns, resized.rows, resized.columns);
    grid = resized;
  }

  /// Logits, classes x B, of images (C H W) x B in the order channel, row, column. The observer sees what enters the first
  /// block as "tokens".
  /// Throws ShapeError unless the images have the size that the model is for.
  [[nodiscard]] Matrix<Scalar> forward(const Matrix<Scalar>& images, const Run<Scalar>& run = {}) const {
    check_size("image classifier: values of an image", images.rows(), grid.values_per_image());
    const TokenLayout layout = TokenLayout::equal(images.cols(), 1 + grid.patches());
    Matrix<Scalar> logits(classes(), images.cols());
    if (images.cols() == 0) return logits;
    Lent<Scalar> lent(run);
    Pass<Scalar> pass(layout, lent.threads(), lent.workspace(), run.observer);
    Workspace::Frame frame(pass.workspace);
    auto tokens = frame.template matrix<Scalar>(dim(), layout.tokens());
    embed(images, tokens, pass);
    pass.observe("tokens", tokens);
    auto encoded = frame.template matrix<Scalar>(dim(), layout.tokens());
    encoder.forward(tokens, encoded, pass);
    auto pooled = frame.template matrix<Scalar>(dim(), images.cols());
    pool(encoded, layout, pooled);
    const typename Pass<Scalar>::Scope scope(pass, "head");
    head.forward(pooled, logits, pass);
    return logits;
  }

  /// Standard normal, as published.
  void initialise(Random& random) {
    random.fill_normal(class_token);
    random.fill_normal(positions);
  }

 private:
  void embed(const Matrix<Scalar>& images, Tokens<Scalar> tokens, Pass<Scalar>& pass) const {
    check_shape("image classifier: positions", positions, dim(), 1 + grid.patches());
    Workspace::Frame frame(pass.workspace);
    auto patches = frame.template matrix<Scalar>(grid.values_per_patch(), grid.patches() * images.cols());
    detail::cut_patches_into(images, grid, Embedding::order, patches, pass.threads);
    auto embedded = frame.template matrix<Scalar>(dim(), patches.cols());
    {
      const typename Pass<Scalar>::Scope scope(pass, "embedding");
      embedding.forward(patches, embedded, pass);
    }
    for (Index b = 0; b < images.cols(); ++b) {
      auto set = tokens.middleCols(pass.layout.begin(b), pass.layout.length(b));
      set.col(0) = class_token;
      set.rightCols(grid.patches()) = embedded.middleCols(b * grid.patches(), grid.patches());
      set += positions;
    }
  }

  void pool(ConstTokens<Scalar> encoded, const TokenLayout& layout, Tokens<Scalar> pooled) const {
    for (Index b = 0; b < layout.sets(); ++b) {
      if (pooling == Pooling::class_token)
        pooled.col(b) = encoded.col(layout.begin(b));
      else
        pooled.col(b) = encoded.middleCols(layout.begin(b), layout.length(b)).rowwise().mean();
    }
  }
};

/// The classifier of arXiv 2311.13110.
template <crate::Scalar S>
using CrateClassifier = ImageClassifier<CrateBlock<S>, NormalisedPatchEmbedding<S>>;

/// The classifier of arXiv 2405.20299.
template <crate::Scalar S>
using CrateAlphaClassifier = ImageClassifier<CrateAlphaBlock<S>, ConvolutionPatchEmbedding<S>>;

}  // namespace crate
