// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "crate/inference/folded_chain.hpp"
#include "crate/inference/folded_linear.hpp"
#include "crate/inference/folded_patch_embedding.hpp"
#include "crate/models/masked_autoencoder.hpp"

namespace crate {

/// MaskedAutoencoder, folded.
template <FoldedWeight W, class FoldedEncoder, class FoldedDecoder>
class FoldedMaskedAutoencoder {
 public:
  using Scalar = ScalarOf<W>;

  /// Of the model everything but its encoder and decoder, which are folded already.
  FoldedMaskedAutoencoder(MaskedAutoencoder<Scalar> model, FoldedEncoder encoder, FoldedDecoder decoder)
      : grid(model.grid),
        preprocessing(std::move(model.preprocessing)),
        kept_patches_(model.kept_patches()),
        normalise_pixels_(model.normalise_pixels),
        embedding_(model.embedding, model.grid),
        class_token_(std::move(model.class_token)),
        mask_token_(std::move(model.mask_token)),
        positions_(std::move(model.positions)),
        encoder_(std::move(encoder)),
        encoder_norm_(std::move(model.encoder_norm)),
        decoder_(std::move(decoder)),
        prediction_(model.decoder_norm, AffineMap(model.prediction.weight, model.prediction.bias)) {
    check_shape("masked autoencoder: positions", positions_, dim(), 1 + grid.patches());
    check_size("masked autoencoder: mask token", mask_token_.size(), dim());
  }

  PatchGrid grid;
  ImagePreprocessing preprocessing;

  [[nodiscard]] Index dim() const { return class_token_.size(); }
  [[nodiscard]] Index kept_patches() const { return kept_patches_; }

  [[nodiscard]] double multiply_adds(Index images) const {
    const TokenLayout tokens = layout_of(images);
    return embedding_.multiply_adds(TokenLayout::equal(images, grid.patches())) + encoder_.multiply_adds(tokens) +
           decoder_.multiply_adds(tokens) + prediction_.multiply_adds(tokens);
  }

  /// Bytes of weights.
  [[nodiscard]] std::size_t bytes_held() const {
    return embedding_.bytes_held() + encoder_.bytes_held() + decoder_.bytes_held() + prediction_.bytes_held() +
           static_cast<std::size_t>(positions_.size()) * sizeof(Scalar);
  }

  /// Hides no patch. Images are (C H W) x B in the order channel, row, column.
  /// Throws ShapeError unless the images have the size that the model is for.
  [[nodiscard]] MaskedAutoencoding<Scalar> forward(const Matrix<Scalar>& images, const Run<Scalar>& run = {}) const {
    return forward_masked(images, Matrix<Scalar>::Zero(grid.patches(), images.cols()), run);
  }

  /// Hides the patches of each image whose noise is largest. Noise is patches x B, as the mask.
  /// Throws ShapeError unless images and noise have the sizes that the model is for.
  [[nodiscard]] MaskedAutoencoding<Scalar> forward(const Matrix<Scalar>& images, const Matrix<Scalar>& noise,
                                                   const Run<Scalar>& run = {}) const {
    check_shape("masked autoencoder: noise", noise, grid.patches(), images.cols());
    return forward_masked(images, detail::mask_of(noise, kept_patches_), run);
  }

 private:
  [[nodiscard]] TokenLayout layout_of(Index images) const { return TokenLayout::equal(images, 1 + grid.patches()); }

  [[nodiscard]] MaskedAutoencoding<Scalar> forward_masked(const Matrix<Scalar>& images, Matrix<Scalar> mask,
                                                          const Run<Scalar>& run) const {
    check_size("masked autoencoder: values of an image", images.rows(), grid.values_per_image());
    const TokenLayout layout = layout_of(images.cols());
    MaskedAutoencoding<Scalar> result{
        .latent = Matrix<Scalar>(dim(), layout.tokens()),
        .prediction = Matrix<Scalar>(grid.values_per_patch(), grid.patches() * images.cols()),
        .mask = std::move(mask),
        .loss = std::nullopt};
    if (images.cols() == 0) return result;
    Lent<Scalar> lent(run);
    Pass<Scalar> pass(layout, lent.threads(), lent.workspace(), run.observer);
    Workspace::Frame frame(pass.workspace);
    auto tokens = frame.template matrix<Scalar>(dim(), layout.tokens());
    auto coded = frame.template matrix<Scalar>(dim(), layout.tokens());
    embed(images, result.mask, tokens, pass);
    {
      const typename Pass<Scalar>::Scope scope(pass, "encoder");
      encoder_.forward(tokens, coded, pass);
    }
    encoder_norm_.forward(coded, result.latent, pass);
    {
      const typename Pass<Scalar>::Scope scope(pass, "decoder");
      decoder_.forward(result.latent, coded, pass);
    }
    predict(coded, result.prediction, pass);
    result.loss = detail::hidden_error(images, grid, result.prediction, result.mask, normalise_pixels_);
    return result;
  }

  void embed(const Matrix<Scalar>& images, const Matrix<Scalar>& mask, Tokens<Scalar> tokens,
             Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto embedded = frame.template matrix<Scalar>(dim(), grid.patches() * images.cols());
    embedding_.embed(images, grid, embedded, pass);
    for (Index i = 0; i < embedded.cols(); ++i)
      if (mask(i % grid.patches(), i / grid.patches()) != 0) embedded.col(i) = mask_token_;
    detail::place_tokens(class_token_, embedded, positions_, tokens, pass.threads);
    pass.observe("tokens", tokens);
  }

  /// Of every token but the class tokens.
  void predict(ConstTokens<Scalar> decoded, Matrix<Scalar>& pixels, Pass<Scalar>& pass) const {
    const Index patches = grid.patches();
    for (Index b = 0; b < pass.layout.sets(); ++b)
      prediction_.forward(decoded.middleCols(pass.layout.begin(b) + 1, patches),
                          pixels.middleCols(b * patches, patches), pass);
  }

  Index kept_patches_;
  bool normalise_pixels_;
  FoldedPatchEmbedding<W> embedding_;
  Vector<Scalar> class_token_;  // d
  Vector<Scalar> mask_token_;   // d
  Matrix<Scalar> positions_;    // d x (1 + patches)
  FoldedEncoder encoder_;
  LayerNorm<Scalar> encoder_norm_;
  FoldedDecoder decoder_;
  FoldedLinear<W> prediction_;
};

}  // namespace crate
