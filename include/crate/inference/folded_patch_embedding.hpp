// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "crate/inference/folded_linear.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/operators/patches.hpp"

namespace crate {

/// Patches of images to tokens: one product, whose weights take the pixels in the order in which they lie in the image.
template <FoldedWeight W>
class FoldedPatchEmbedding {
 public:
  using Scalar = ScalarOf<W>;

  FoldedPatchEmbedding(const NormalisedPatchEmbedding<Scalar>& embedding, const PatchGrid& grid)
      : projection_(in_image_order(embedding, grid)), token_norm_(embedding.token_norm) {}

  FoldedPatchEmbedding(const ConvolutionPatchEmbedding<Scalar>& embedding, const PatchGrid&)
      : projection_(AffineMap(embedding.projection.weight, embedding.projection.bias)) {}

  [[nodiscard]] double multiply_adds(const TokenLayout& patches) const { return projection_.multiply_adds(patches); }
  [[nodiscard]] std::size_t bytes_held() const { return projection_.bytes_held(); }

  /// embedded = d x (patches of all images).
  void embed(const Eigen::Ref<const Matrix<Scalar>>& images, const PatchGrid& grid, Tokens<Scalar> embedded,
             Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto patches = frame.template matrix<Scalar>(grid.values_per_patch(), embedded.cols());
    detail::cut_patches_into(images, grid, PatchOrder::channel_row_column, patches, pass.threads);
    projection_.forward(patches, embedded, pass);
    if (token_norm_) token_norm_->forward(embedded, embedded, pass);
  }

  /// The bytes of workspace that so many patches take on so many threads.
  [[nodiscard]] std::size_t room(Index patches, int threads) const {
    return Workspace::room<Scalar>(projection_.input_dim() * patches) + projection_.room(patches, threads);
  }

 private:
  /// The norm and the columns of the map, from the order row, column, channel to channel, row, column.
  static FoldedLinear<W> in_image_order(const NormalisedPatchEmbedding<Scalar>& embedding, const PatchGrid& grid) {
    LayerNorm<Scalar> norm = embedding.pixel_norm;
    AffineMap map(embedding.projection.weight, embedding.projection.bias);
    const AffineMap published = map;
    const Index pixels = grid.height * grid.width;
    for (Index i = 0; i < grid.values_per_patch(); ++i) {
      const Index from = i % pixels * grid.channels + i / pixels;
      norm.weight[i] = embedding.pixel_norm.weight[from];
      norm.bias[i] = embedding.pixel_norm.bias[from];
      map.weight.col(i) = published.weight.col(from);
    }
    return FoldedLinear<W>(norm, std::move(map));
  }

  FoldedLinear<W> projection_;
  std::optional<LayerNorm<Scalar>> token_norm_;
};

}  // namespace crate
