// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "crate/inference/folded_chain.hpp"
#include "crate/inference/folded_linear.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/patch_embedding.hpp"
#include "crate/operators/patches.hpp"

namespace crate {

/// Patches of images to tokens: one product, whose weights take the pixels in the order in which they lie in the image.
template <FoldedWeight W>
class FoldedPatchEmbedding {
 public:
  using Scalar = ScalarOf<W>;
  using Input = Images<Scalar>;

  explicit FoldedPatchEmbedding(const NormalisedPatchEmbedding<Scalar>& embedding)
      : grid_(embedding.grid),
        projection_(in_image_order(embedding.map, embedding.grid)),
        token_norm_(embedding.map.token_norm) {}

  explicit FoldedPatchEmbedding(const ConvolutionPatchEmbedding<Scalar>& embedding)
      : grid_(embedding.grid), projection_(AffineMap(embedding.map.weight, embedding.map.bias)) {}

  [[nodiscard]] const PatchGrid& grid() const { return grid_; }
  [[nodiscard]] Index input_dim() const { return grid_.values_per_image(); }
  [[nodiscard]] Index output_dim() const { return projection_.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    const std::string tokens = projection_.formula("patches(" + argument + ")");
    return token_norm_ ? token_norm_->formula(tokens) : tokens;
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& images) const {
    return projection_.multiply_adds(layout_after(images));
  }
  [[nodiscard]] TokenLayout layout_after(const TokenLayout& images) const {
    return TokenLayout::equal(images.tokens(), grid_.patches());
  }
  [[nodiscard]] std::size_t bytes_held() const {
    return projection_.bytes_held() + (token_norm_ ? detail::bytes_held(*token_norm_) : 0);
  }

  void forward(const Input& images, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_size("images: values of an image", images.pixels.rows(), grid_.values_per_image());
    Workspace::Frame frame(pass.workspace);
    auto patches = frame.template matrix<Scalar>(grid_.values_per_patch(), out.cols());
    detail::cut_patches_into(images.pixels, grid_, PatchOrder::channel_row_column, patches, pass.threads);
    projection_.forward(patches, out, pass);
    if (token_norm_) token_norm_->forward(out, out, pass);
  }

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout& images, int threads) const {
    const Index patches = layout_after(images).tokens();
    return Workspace::room<Scalar>(projection_.input_dim() * patches) +
           std::max(projection_.workspace_bytes(patches, threads),
                    token_norm_ ? token_norm_->workspace_bytes(layout_after(images), threads) : 0);
  }

 private:
  /// The norm and the columns of the map, from the order row, column, channel to channel, row, column.
  static FoldedLinear<W> in_image_order(const NormalisedPatchMap<Scalar>& map_of_patch, const PatchGrid& grid) {
    LayerNorm<Scalar> norm = map_of_patch.pixel_norm;
    AffineMap map(map_of_patch.projection.weight, map_of_patch.projection.bias);
    const AffineMap published = map;
    const Index pixels = grid.height * grid.width;
    for (Index i = 0; i < grid.values_per_patch(); ++i) {
      const Index from = i % pixels * grid.channels + i / pixels;
      norm.weight[i] = map_of_patch.pixel_norm.weight[from];
      norm.bias[i] = map_of_patch.pixel_norm.bias[from];
      map.weight.col(i) = published.weight.col(from);
    }
    return FoldedLinear<W>(norm, std::move(map));
  }

  PatchGrid grid_;
  FoldedLinear<W> projection_;
  std::optional<LayerNorm<Scalar>> token_norm_;
};

template <FoldedWeight W>
[[nodiscard]] const PatchGrid& patch_grid(const FoldedPatchEmbedding<W>& embedding) {
  return embedding.grid();
}

}  // namespace crate
