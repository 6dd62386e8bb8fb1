// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>
#include <type_traits>

#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/recording.hpp"
#include "crate/operators/patches.hpp"

// From images to tokens.

namespace crate {

/// Images side by side, (C H W) x B, a column an image in the order channel, row, column: a view of a matrix.
template <crate::Scalar S>
struct Images {
  MatrixMap<S> pixels;

  template <class Derived>
  Images(const Eigen::MatrixBase<Derived>& images) : pixels(map_of(images)) {}
  Images(Matrix<S>&&) = delete;  // it would end before the view

  /// Sets of one column each.
  [[nodiscard]] TokenLayout layout() const { return TokenLayout::equal(pixels.cols(), 1); }
};

/// map(patches of the images): a token for each patch, whose values stand in the given order.
template <class Map, PatchOrder order>
struct PatchEmbedding {
  using Scalar = typename Map::Scalar;
  using Input = Images<Scalar>;
  static constexpr bool shows_half_steps = detail::ShowsHalfSteps<Map>;

  Map map;
  PatchGrid grid;

  struct Tape {
    typename Map::Tape map;
  };

  PatchEmbedding(const PatchGrid& patches, Index dim) : map(patches.values_per_patch(), dim), grid(patches) {}

  static constexpr auto parts() { return std::tuple{part("", &PatchEmbedding::map)}; }

  [[nodiscard]] Index input_dim() const { return grid.values_per_image(); }
  [[nodiscard]] Index output_dim() const { return map.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return map.formula("patches(" + argument + ")");
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& images) const {
    return map.multiply_adds(layout_after(images));
  }
  [[nodiscard]] TokenLayout layout_after(const TokenLayout& images) const {
    return TokenLayout::equal(images.tokens(), grid.patches());
  }

  void forward(const Input& images, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto patches = frame.template matrix<Scalar>(grid.values_per_patch(), out.cols());
    with_patches(images, patches, pass, [&] { map.forward(patches, out, pass); });
  }

  void forward(const Input& images, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    auto patches = pass.keep(grid.values_per_patch(), out.cols());
    with_patches(images, patches, pass, [&] { map.forward(patches, out, tape.map, pass); });
  }

  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, PatchEmbedding& gradient,
                Pass<Scalar>& pass) const {
    in_patches(pass, [&] { detail::add_gradient(map, out_cotangent, tape.map, gradient.map, pass); });
  }

 private:
  /// Cuts the patches, and maps them by `map_them`.
  template <class Patches, class MapThem>
  void with_patches(const Input& images, Patches& patches, Pass<Scalar>& pass, const MapThem& map_them) const {
    check_size("images: values of an image", images.pixels.rows(), grid.values_per_image());
    detail::cut_patches_into(images.pixels, grid, order, patches, pass.threads);
    in_patches(pass, map_them);
  }

  /// Runs the map on token sets that are the patches of an image.
  template <class Body>
  void in_patches(Pass<Scalar>& pass, const Body& body) const {
    const TokenLayout& images = pass.layout();
    const TokenLayout patches = layout_after(images);
    pass.enter(patches);
    body();
    pass.enter(images);
  }
};

/// How a front end, or a model that begins with one, cuts its images.
template <class Map, PatchOrder order>
[[nodiscard]] const PatchGrid& patch_grid(const PatchEmbedding<Map, order>& embedding) {
  return embedding.grid;
}
template <class Model>
[[nodiscard]] auto patch_grid(const Model& model) -> decltype(patch_grid(model.front())) {
  return patch_grid(model.front());
}

/// LN(W LN(x) + b).
template <crate::Scalar S>
struct NormalisedPatchMap : Chain<NormalisedPatchMap<S>, S> {
  LayerNorm<S> pixel_norm;
  Linear<S> projection;
  LayerNorm<S> token_norm;

  NormalisedPatchMap(Index pixels, Index dim) : pixel_norm(pixels), projection(pixels, dim), token_norm(dim) {}

  static constexpr auto parts() {
    return std::tuple{part("pixel_norm", &NormalisedPatchMap::pixel_norm),
                      part("projection", &NormalisedPatchMap::projection),
                      part("token_norm", &NormalisedPatchMap::token_norm)};
  }
};

/// CRATE's patch embedding: LN(W LN(x) + b) of a patch x.
template <crate::Scalar S>
using NormalisedPatchEmbedding = PatchEmbedding<NormalisedPatchMap<S>, PatchOrder::row_column_channel>;

/// W x + b of a patch x: a convolution whose kernel is as large as its stride.
template <crate::Scalar S>
using ConvolutionPatchEmbedding = PatchEmbedding<Linear<S>, PatchOrder::channel_row_column>;

}  // namespace crate
