// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "crate/io/pictures/image.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/models/masked_autoencoder.hpp"
#include "crate/operators/losses.hpp"
#include "crate/operators/patches.hpp"
#include "crate/training/masked_autoencoding.hpp"

// What a masked autoencoder makes of images, as a picture.

namespace train_autoencoder {

using crate::Index;
using crate::Matrix;

/// Images (C H W) x B in three stages.
template <class S>
struct Reconstruction {
  Matrix<S> original;
  Matrix<S> masked;         ///< hidden patches are of the mean pixel of the data, 0
  Matrix<S> reconstructed;  ///< hidden patches as predicted, the others as they are
};

template <class Model>
[[nodiscard]] Reconstruction<typename Model::Scalar> reconstruct(const Model& model,
                                                                 const Matrix<typename Model::Scalar>& images,
                                                                 const crate::DropoutStream& place,
                                                                 crate::Threads& threads) {
  using S = typename Model::Scalar;
  constexpr auto order = crate::PatchOrder::row_column_channel;
  const Matrix<S> mask = crate::mask_at(model, images.cols(), place);
  const Matrix<S> target = crate::cut_patches(images, patch_grid(model), order);
  Matrix<S> predicted = model.forward(crate::MaskedImages(images, mask), {.threads = &threads});
  if (model.about.normalise_pixels) predicted = crate::pixels_of_normalised_patches(predicted, target);
  Matrix<S> masked = target, reconstructed = target;
  for (Index i = 0; i < target.cols(); ++i) {
    if (mask(i % mask.rows(), i / mask.rows()) == 0) continue;
    masked.col(i).setZero();
    reconstructed.col(i) = predicted.col(i);
  }
  return {images, crate::join_patches(masked, patch_grid(model), order),
          crate::join_patches(reconstructed, patch_grid(model), order)};
}

/// A picture of images in rows, each magnified so that it can be looked at, on white.
class PictureGrid {
 public:
  PictureGrid(const crate::PatchGrid& images, Index rows, Index columns, const crate::ImageNormalisation& pixels)
      : images_(images),
        pixels_(pixels),
        scale_(std::max(Index{1}, 112 / images.image_height())),
        picture_{.height = rows * (scale_ * images.image_height() + gap) + gap,
                 .width = columns * (scale_ * images.image_width() + gap) + gap,
                 .channels = images.channels == 1 ? 1 : 3} {
    picture_.pixels.assign(static_cast<std::size_t>(picture_.height * picture_.width * picture_.channels), 255);
  }

  /// One image (C H W), in the units of the model, at its place.
  template <class Values>
  void put(Index row, Index column, const Values& image) {
    const Index height = scale_ * images_.image_height(), width = scale_ * images_.image_width();
    const Index top = gap + row * (height + gap), left = gap + column * (width + gap);
    for (Index y = 0; y < height; ++y)
      for (Index x = 0; x < width; ++x)
        for (Index c = 0; c < picture_.channels; ++c)
          picture_.pixels[static_cast<std::size_t>(((top + y) * picture_.width + left + x) * picture_.channels + c)] =
              byte_of(image, y / scale_, x / scale_, c);
  }

  [[nodiscard]] const crate::Image& picture() const { return picture_; }

 private:
  static constexpr Index gap = 6;

  template <class Values>
  [[nodiscard]] std::uint8_t byte_of(const Values& image, Index y, Index x, Index c) const {
    const auto channel = static_cast<std::size_t>(c);
    const auto value = static_cast<double>(image((c * images_.image_height() + y) * images_.image_width() + x));
    const double byte = 255 * (value * pixels_.deviation[channel] + pixels_.mean[channel]);
    return static_cast<std::uint8_t>(std::lround(std::clamp(byte, 0.0, 255.0)));
  }

  crate::PatchGrid images_;
  crate::ImageNormalisation pixels_;
  Index scale_;
  crate::Image picture_;
};

/// The first test images in columns: as they are, as the model sees them, and as it completes them, hidden where the
/// test hides them.
template <class Model>
[[nodiscard]] crate::Image picture_of(const Model& model, const crate::ImageSource<typename Model::Scalar>& test,
                                      crate::Threads& threads) {
  constexpr Index most = 10;
  std::vector<Index> first(static_cast<std::size_t>(std::min(most, test.size())));
  std::iota(first.begin(), first.end(), Index{0});
  const auto [original, masked, reconstructed] = reconstruct(model, test.take(first).images, {}, threads);
  PictureGrid grid(patch_grid(model), 3, original.cols(), test.normalisation);
  for (Index i = 0; i < original.cols(); ++i) {
    grid.put(0, i, original.col(i));
    grid.put(1, i, masked.col(i));
    grid.put(2, i, reconstructed.col(i));
  }
  return grid.picture();
}

}  // namespace train_autoencoder
