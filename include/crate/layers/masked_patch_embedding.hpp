// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <tuple>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/layers/patch_embedding.hpp"

namespace crate {

/// Images, as Images, and which of their patches are hidden: the mask is patches x B, not 0 where one is. Views of
/// matrices.
template <crate::Scalar S>
struct MaskedImages {
  Images<S> images;
  MatrixMap<S> mask;

  template <class ImagesDerived, class MaskDerived>
  MaskedImages(const Eigen::MatrixBase<ImagesDerived>& pixels, const Eigen::MatrixBase<MaskDerived>& hidden)
      : images(pixels), mask(map_of(hidden)) {}
  MaskedImages(Matrix<S>&&, const Matrix<S>&) = delete;  // they would end before the views
  MaskedImages(const Matrix<S>&, Matrix<S>&&) = delete;
  MaskedImages(Matrix<S>&&, Matrix<S>&&) = delete;

  [[nodiscard]] TokenLayout layout() const { return images.layout(); }
};

template <class ImagesDerived, class MaskDerived>
MaskedImages(const Eigen::MatrixBase<ImagesDerived>&, const Eigen::MatrixBase<MaskDerived>&)
    -> MaskedImages<typename ImagesDerived::Scalar>;

/// The embedded patches, with the mask token in the place of hidden ones.
template <class Embedding>
struct MaskedPatchEmbedding {
  using Scalar = typename Embedding::Scalar;
  using Input = MaskedImages<Scalar>;

  Embedding embedding;
  Vector<Scalar> mask_token;  ///< d

  struct Tape {
    typename detail::TapeOf<Embedding>::type embedding;
    Kept<Scalar> mask;
  };

  /// A mask token of zero.
  explicit MaskedPatchEmbedding(Embedding of_images)
      : embedding(std::move(of_images)), mask_token(Vector<Scalar>::Zero(embedding.output_dim())) {}
  MaskedPatchEmbedding(Embedding of_images, Vector<Scalar> token)
      : embedding(std::move(of_images)), mask_token(std::move(token)) {}

  static constexpr auto parts() {
    return std::tuple{part("embedding", &MaskedPatchEmbedding::embedding),
                      part("mask_token", &MaskedPatchEmbedding::mask_token)};
  }

  [[nodiscard]] Index input_dim() const { return embedding.input_dim(); }
  [[nodiscard]] Index output_dim() const { return embedding.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return embedding.formula("masked(" + argument + ")");
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& images) const { return embedding.multiply_adds(images); }
  [[nodiscard]] TokenLayout layout_after(const TokenLayout& images) const { return embedding.layout_after(images); }

  /// Bytes of weights, of an embedding that was folded.
  [[nodiscard]] std::size_t bytes_held() const requires requires(const Embedding& e) { e.bytes_held(); }
  { return embedding.bytes_held() + static_cast<std::size_t>(mask_token.size()) * sizeof(Scalar); }

  /// The bytes of workspace that a pass takes which is not recorded, where the embedding knows.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& images, int threads) const requires
      requires(const Embedding& e) {
    e.workspace_bytes(images, threads);
  }
  { return embedding.workspace_bytes(images, threads); }

  void forward(const Input& input, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_sizes(input);
    embedding.forward(input.images, out, pass);
    hide(input.mask, out);
  }

  void forward(const Input& input, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    check_sizes(input);
    auto mask = pass.keep(input.mask.rows(), input.mask.cols());
    mask = input.mask;
    tape.mask = mask;
    embedding.forward(input.images, out, tape.embedding, pass);
    hide(mask, out);
  }

  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, MaskedPatchEmbedding& gradient,
                Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto of_shown = frame.template matrix<Scalar>(out_cotangent.rows(), out_cotangent.cols());
    of_shown = out_cotangent;
    for_each_hidden(tape.mask.view(), [&](Index token) {
      gradient.mask_token += of_shown.col(token);
      of_shown.col(token).setZero();
    });
    embedding.backward(of_shown, tape.embedding, gradient.embedding, pass);
  }

 private:
  void check_sizes(const Input& input) const {
    check_shape("mask", input.mask, patch_grid(embedding).patches(), input.images.pixels.cols());
    check_size("mask token", mask_token.size(), output_dim());
  }

  template <class Mask>
  void hide(const Mask& mask, Tokens<Scalar> tokens) const {
    for_each_hidden(mask, [&](Index token) { tokens.col(token) = mask_token; });
  }

  template <class Mask, class Body>
  static void for_each_hidden(const Mask& mask, const Body& body) {
    for (Index b = 0; b < mask.cols(); ++b)
      for (Index i = 0; i < mask.rows(); ++i)
        if (mask(i, b) != 0) body(b * mask.rows() + i);
  }
};

template <class Embedding>
[[nodiscard]] const PatchGrid& patch_grid(const MaskedPatchEmbedding<Embedding>& embedding) {
  return patch_grid(embedding.embedding);
}

}  // namespace crate
