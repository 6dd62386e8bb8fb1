// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "crate/inference/folded_chain.hpp"
#include "crate/inference/folded_linear.hpp"
#include "crate/inference/folded_patch_embedding.hpp"
#include "crate/models/image_classifier.hpp"

namespace crate {

/// ImageClassifier, folded. If its head reads the class token, the last block computes nothing else.
template <FoldedWeight W, class FoldedEncoder>
class FoldedImageClassifier {
 public:
  using Scalar = ScalarOf<W>;

  /// Of the model everything but its encoder, which is folded already.
  template <class Block, class Embedding>
  FoldedImageClassifier(ImageClassifier<Block, Embedding> model, FoldedEncoder encoder)
      : grid(model.grid),
        pooling(model.pooling),
        preprocessing(std::move(model.preprocessing)),
        class_names(std::move(model.class_names)),
        embedding_(model.embedding, model.grid),
        class_token_(std::move(model.class_token)),
        positions_(std::move(model.positions)),
        encoder_(std::move(encoder)),
        head_(model.head.norm, AffineMap(model.head.linear.weight, model.head.linear.bias)) {
    check_shape("image classifier: positions", positions_, dim(), 1 + grid.patches());
  }

  PatchGrid grid;
  Pooling pooling;
  ImagePreprocessing preprocessing;
  std::vector<std::string> class_names;

  [[nodiscard]] Index dim() const { return class_token_.size(); }
  [[nodiscard]] Index classes() const { return head_.output_dim(); }

  /// Multiply-adds of so many images; what the last block is spared is not deducted.
  [[nodiscard]] double multiply_adds(Index images) const {
    return embedding_.multiply_adds(TokenLayout::equal(images, grid.patches())) +
           encoder_.multiply_adds(layout_of(images)) + head_.multiply_adds(TokenLayout::equal(images, 1));
  }

  /// Bytes of weights.
  [[nodiscard]] std::size_t bytes_held() const {
    return embedding_.bytes_held() + encoder_.bytes_held() + head_.bytes_held() +
           static_cast<std::size_t>(positions_.size() + dim()) * sizeof(Scalar);
  }

  /// Logits, classes x B, of images (C H W) x B in the order channel, row, column. The observer sees what enters the first
  /// block as "tokens".
  /// Throws ShapeError unless the images have the size that the model is for.
  [[nodiscard]] Matrix<Scalar> forward(const Matrix<Scalar>& images, const Run<Scalar>& run = {}) const {
    Matrix<Scalar> logits(classes(), images.cols());
    forward(images, logits, run);
    return logits;
  }

  /// The same into room of the caller's. With threads, and a workspace that was used before or reserved, nothing is allocated.
  /// Throws ShapeError unless images and logits have the sizes that the model is for.
  void forward(const Eigen::Ref<const Matrix<Scalar>>& images, Tokens<Scalar> logits,
               const Run<Scalar>& run = {}) const {
    check_size("image classifier: values of an image", images.rows(), grid.values_per_image());
    check_shape("image classifier: logits", logits, classes(), images.cols());
    if (images.cols() == 0) return;
    Lent<Scalar> lent(run);
    const TokenLayout layout = layout_of(images.cols());
    Pass<Scalar> pass(layout, lent.threads(), lent.workspace(), run.observer);
    Workspace::Frame frame(pass.workspace);
    auto tokens = frame.template matrix<Scalar>(dim(), layout.tokens());
    embed(images, tokens, pass);
    pass.observe("tokens", tokens);
    auto pooled = frame.template matrix<Scalar>(dim(), images.cols());
    encode_and_pool(tokens, pooled, pass, run.observer != nullptr);
    const typename Pass<Scalar>::Scope scope(pass, "head");
    head_.forward(pooled, logits, pass);
    pass.observe("linear", logits);
  }

  /// The bytes of workspace that so many images take on so many threads; see Workspace::reserve.
  [[nodiscard]] std::size_t workspace_bytes(Index images, int threads) const {
    const TokenLayout layout = layout_of(images);
    const std::size_t tokens = Workspace::room<Scalar>(dim() * layout.tokens());
    const Index patches = images * grid.patches();
    return tokens + Workspace::room<Scalar>(dim() * images) +
           std::max(Workspace::room<Scalar>(dim() * patches) + embedding_.room(patches, threads),
                    tokens + encoder_.room(layout, threads));
  }

 private:
  [[nodiscard]] TokenLayout layout_of(Index images) const { return TokenLayout::equal(images, 1 + grid.patches()); }

  void embed(const Eigen::Ref<const Matrix<Scalar>>& images, Tokens<Scalar> tokens, Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto embedded = frame.template matrix<Scalar>(dim(), grid.patches() * images.cols());
    embedding_.embed(images, grid, embedded, pass);
    detail::place_tokens(class_token_, embedded, positions_, tokens, pass.threads);
  }

  void encode_and_pool(ConstTokens<Scalar> tokens, Tokens<Scalar> pooled, Pass<Scalar>& pass, bool observed) const {
    if constexpr (MixesTokens<FoldedEncoder>)
      if (pooling == Pooling::class_token && !observed) return encoder_.forward_first(tokens, pooled, pass);
    Workspace::Frame frame(pass.workspace);
    auto encoded = frame.template matrix<Scalar>(dim(), tokens.cols());
    encoder_.forward(tokens, encoded, pass);
    for (Index b = 0; b < pass.layout.sets(); ++b) {
      if (pooling == Pooling::class_token)
        pooled.col(b) = encoded.col(pass.layout.begin(b));
      else
        pooled.col(b) = encoded.middleCols(pass.layout.begin(b), pass.layout.length(b)).rowwise().mean();
    }
  }

  FoldedPatchEmbedding<W> embedding_;
  Vector<Scalar> class_token_;  // d
  Matrix<Scalar> positions_;    // d x (1 + patches)
  FoldedEncoder encoder_;
  FoldedLinear<W> head_;
};

}  // namespace crate
