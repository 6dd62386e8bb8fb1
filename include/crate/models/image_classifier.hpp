// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/blocks/crate_alpha_block.hpp"
#include "crate/blocks/crate_block.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/recording.hpp"
#include "crate/models/encoder.hpp"
#include "crate/models/image_preprocessing.hpp"
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

namespace detail {

/// tokens = [class token, embedded patches] + positions for every image. Tokens are d x (1 + n) B, embedded d x n B.
template <class ClassToken, class Embedded, class Positions, class TokensOut>
void place_tokens(const ClassToken& class_token, const Embedded& embedded, const Positions& positions,
                  TokensOut& tokens, Threads& threads) {
  const Index patches = positions.cols() - 1;
  threads.for_each(tokens.cols() / positions.cols(), [&](Index image, int) {
    auto set = tokens.middleCols(image * positions.cols(), positions.cols());
    set.col(0) = class_token + positions.col(0);
    set.rightCols(patches) = embedded.middleCols(image * patches, patches) + positions.rightCols(patches);
  });
}

/// The adjoint of place_tokens: hands the cotangent of the tokens to the patches, and adds what belongs to class token and
/// positions, image after image.
template <class Cotangent, class ClassToken, class Embedded, class Positions>
void place_tokens_adjoint(const Cotangent& tokens, ClassToken& class_token, Embedded& embedded, Positions& positions) {
  const Index patches = positions.cols() - 1;
  for (Index image = 0; image < tokens.cols() / positions.cols(); ++image) {
    const auto set = tokens.middleCols(image * positions.cols(), positions.cols());
    class_token += set.col(0);
    embedded.middleCols(image * patches, patches) = set.rightCols(patches);
    positions += set;
  }
}

}  // namespace detail

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
  double token_dropout = 0;  ///< of what enters the first block, in recorded passes alone
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
  double token_dropout;
  ImagePreprocessing preprocessing;           ///< as published until somebody says otherwise
  std::vector<std::string> class_names = {};  ///< of each logit; empty if nobody named them

  /// A recorded forward pass, with its memory; used again from pass to pass.
  struct Tape {
    TapeMemory memory;
    std::optional<TokenLayout> layout;  ///< empty until something was recorded
    DropoutStream dropout;              ///< which of the tokens were dropped follows from it
    typename Embedding::Tape embedding;
    typename Encoder<Block>::Tape encoder;
    typename ClassifierHead<Scalar>::Tape head;
  };

  /// All zero but the norms. Throws OptionError on an option out of range.
  explicit ImageClassifier(const Options& options)
      : embedding(options.image.grid().values_per_patch(), options.block.dim),
        class_token(Vector<Scalar>::Zero(options.block.dim)),
        positions(Matrix<Scalar>::Zero(options.block.dim, 1 + options.image.grid().patches())),
        encoder(options.depth, options.block),
        head(options.block.dim, options.classes),
        grid(options.image.grid()),
        pooling(options.pooling),
        token_dropout(options.token_dropout),
        preprocessing(ImagePreprocessing::published(grid.channels)) {
    check_dropout(token_dropout);
  }

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
    check_sizes(images);
    const TokenLayout layout = layout_of(images.cols());
    Matrix<Scalar> logits(classes(), images.cols());
    if (images.cols() == 0) return logits;
    Lent<Scalar> lent(run);
    Pass<Scalar> pass(layout, lent.threads(), lent.workspace(), run.observer);
    Workspace::Frame frame(pass.workspace);
    auto tokens = frame.template matrix<Scalar>(dim(), layout.tokens());
    {
      Workspace::Frame embedding_frame(pass.workspace);
      auto patches = embedding_frame.template matrix<Scalar>(grid.values_per_patch(), grid.patches() * images.cols());
      auto embedded = embedding_frame.template matrix<Scalar>(dim(), patches.cols());
      detail::cut_patches_into(images, grid, Embedding::order, patches, pass.threads);
      const typename Pass<Scalar>::Scope scope(pass, "embedding");
      embedding.forward(patches, embedded, pass);
      detail::place_tokens(class_token, embedded, positions, tokens, pass.threads);
    }
    pass.observe("tokens", tokens);
    auto encoded = frame.template matrix<Scalar>(dim(), layout.tokens());
    encoder.forward(tokens, encoded, pass);
    auto pooled = frame.template matrix<Scalar>(dim(), images.cols());
    pool(encoded, layout, pooled);
    const typename Pass<Scalar>::Scope scope(pass, "head");
    head.forward(pooled, logits, pass);
    return logits;
  }

  /// As forward, and records the pass for backward; with dropout, if the model has any.
  [[nodiscard]] Matrix<Scalar> forward(const Matrix<Scalar>& images, Tape& tape, const Run<Scalar>& run = {}) const {
    check_sizes(images);
    tape.layout = layout_of(images.cols());
    tape.dropout = run.dropout;
    if (images.cols() == 0) return Matrix<Scalar>(classes(), 0);
    Lent<Scalar> lent(run);
    Pass<Scalar> pass(*tape.layout, lent.threads(), lent.workspace(), run.observer);
    pass.dropout = run.dropout;
    pass.keep_in(&tape.memory.begin());
    auto patches = pass.keep(grid.values_per_patch(), grid.patches() * images.cols());
    auto embedded = pass.keep(dim(), patches.cols());
    auto tokens = pass.keep(dim(), tape.layout->tokens()), encoded = pass.keep(dim(), tape.layout->tokens());
    auto pooled = pass.keep(dim(), images.cols());
    Matrix<Scalar> logits(classes(), images.cols());
    detail::cut_patches_into(images, grid, Embedding::order, patches, pass.threads);
    {
      const typename Pass<Scalar>::Scope scope(pass, "embedding");
      embedding.forward(patches, embedded, tape.embedding, pass);
    }
    detail::place_tokens(class_token, embedded, positions, tokens, pass.threads);
    detail::drop_sets(*tape.layout, token_dropout, pass.dropout, pass.dropout.take_place(), tokens);
    pass.observe("tokens", tokens);
    encoder.forward(tokens, encoded, tape.encoder, pass);
    pool(encoded, *tape.layout, pooled);
    const typename Pass<Scalar>::Scope scope(pass, "head");
    head.forward(pooled, logits, tape.head, pass);
    return logits;
  }

  /// Goes back through a recorded pass: adds dL/dW to the gradient, where `cotangent` = dL/dlogits is classes x B.
  /// Throws Error if nothing was recorded, ShapeError if the cotangent has another size.
  void backward(const Matrix<Scalar>& cotangent, Tape& tape, ImageClassifier& gradient,
                const Run<Scalar>& run = {}) const {
    if (!tape.layout) throw Error("image classifier: expected a recorded forward pass, found none");
    const TokenLayout& layout = *tape.layout;
    check_shape("image classifier: cotangent of the logits", cotangent, classes(), layout.sets());
    if (layout.sets() == 0) return;
    Lent<Scalar> lent(run);
    const Observer<Scalar> nobody;
    Pass<Scalar> pass(layout, lent.threads(), lent.workspace(), nobody);
    pass.dropout = tape.dropout;
    pass.keep_in(&tape.memory.frame());
    Workspace::Frame frame(pass.workspace);
    auto pooled = frame.template matrix<Scalar>(dim(), layout.sets());
    auto encoded = frame.template matrix<Scalar>(dim(), layout.tokens());
    auto tokens = frame.template matrix<Scalar>(dim(), layout.tokens());
    auto embedded = frame.template matrix<Scalar>(dim(), grid.patches() * layout.sets());
    auto patches = frame.template matrix<Scalar>(grid.values_per_patch(), embedded.cols());
    head.backward(cotangent, tape.head, pooled, gradient.head, pass);
    pool_adjoint(pooled, layout, encoded);
    encoder.backward(encoded, tape.encoder, tokens, gradient.encoder, pass);
    detail::drop_sets(layout, token_dropout, tape.dropout, tape.dropout.place, tokens);
    detail::place_tokens_adjoint(tokens, gradient.class_token, embedded, gradient.positions);
    embedding.backward(embedded, tape.embedding, patches, gradient.embedding, pass);
  }

  /// Standard normal, as published.
  void initialise(Random& random) {
    random.fill_normal(class_token);
    random.fill_normal(positions);
  }

 private:
  [[nodiscard]] TokenLayout layout_of(Index images) const { return TokenLayout::equal(images, 1 + grid.patches()); }

  void check_sizes(const Matrix<Scalar>& images) const {
    check_size("image classifier: values of an image", images.rows(), grid.values_per_image());
    check_shape("image classifier: positions", positions, dim(), 1 + grid.patches());
  }

  void pool(ConstTokens<Scalar> encoded, const TokenLayout& layout, Tokens<Scalar> pooled) const {
    for (Index b = 0; b < layout.sets(); ++b) {
      if (pooling == Pooling::class_token)
        pooled.col(b) = encoded.col(layout.begin(b));
      else
        pooled.col(b) = encoded.middleCols(layout.begin(b), layout.length(b)).rowwise().mean();
    }
  }

  void pool_adjoint(ConstTokens<Scalar> pooled, const TokenLayout& layout, Tokens<Scalar> encoded) const {
    if (pooling == Pooling::class_token) encoded.setZero();
    for (Index b = 0; b < layout.sets(); ++b) {
      if (pooling == Pooling::class_token)
        encoded.col(layout.begin(b)) = pooled.col(b);
      else
        encoded.middleCols(layout.begin(b), layout.length(b)).colwise() =
            pooled.col(b) / static_cast<Scalar>(layout.length(b));
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
