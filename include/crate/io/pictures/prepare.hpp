// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>

#include "crate/core/detail/count_of.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/formats/pixels.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/io/pictures/resize.hpp"
#include "crate/models/image_preprocessing.hpp"
#include "crate/operators/patches.hpp"

// Converts a picture to a model's input.

namespace crate {

/// The picture as an image of height x width x channels: converted to this number of channels (grey or RGB), then
/// resized. Throws ShapeError as with_channels and resize.
[[nodiscard]] inline Image fit_picture(const Image& picture, PictureFit fit, Index height, Index width,
                                       Index channels) {
  const Image coloured = with_channels(picture, channels);
  if (fit == PictureFit::cover) return resize_to_cover(coloured, height, width);
  const Index shorter_side = std::max(height, width) * 256 / 224;
  return centre_crop(resize_shorter_side(coloured, shorter_side), height, width);
}

/// (pixel / 255 - mean) / deviation in the order channel, row, column of a model's input: C H W values.
/// Throws ShapeError unless the image's sizes are consistent, OptionError unless the normalisation fits its channels.
template <Scalar S>
[[nodiscard]] Vector<S> normalised_image(const Image& image, const ImageNormalisation& normalisation) {
  check_image(image);
  normalisation.check(image.channels);
  const auto values = detail::normalised_values<S>(normalisation);
  const Index plane = image.height * image.width;
  Vector<S> column(image.channels * plane);
  for (Index c = 0; c < image.channels; ++c)
    for (Index i = 0; i < plane; ++i)
      column(c * plane + i) =
          values[static_cast<std::size_t>(c)][image.pixels[static_cast<std::size_t>(i * image.channels + c)]];
  return column;
}

/// A model with a grid of patches and a preprocessing: classifiers and autoencoders of images, folded or not.
template <class Model>
concept TakesPictures = requires(const Model& model) {
  typename Model::Scalar;
  { patch_grid(model) } -> std::convertible_to<PatchGrid>;
  { model.about.preprocessing } -> std::convertible_to<ImagePreprocessing>;
};

/// Converts a picture, as read_image(path, model.about.preprocessing.orientation) returns it, to the model's input: its
/// size, channels and normalisation, (C H W) x 1, for `forward`. For published weights this is the published
/// evaluation. Throws OptionError if the model does not know its normalisation, ShapeError as fit_picture.
template <TakesPictures Model>
[[nodiscard]] Matrix<typename Model::Scalar> prepare(const Model& model, const Image& picture) {
  const PatchGrid& grid = patch_grid(model);
  if (!model.about.preprocessing.is_known())
    throw OptionError(concatenate(
        "model.about.preprocessing.normalisation: expected mean and deviation of the pixels "
        "of ",
        detail::count_of(grid.channels, "channel"), ", which the published evaluation does not define; found neither"));
  const Image fitting =
      fit_picture(picture, model.about.preprocessing.fit, grid.image_height(), grid.image_width(), grid.channels);
  return normalised_image<typename Model::Scalar>(fitting, model.about.preprocessing.normalisation);
}

/// prepare for several pictures, (C H W) x pictures.
template <TakesPictures Model>
[[nodiscard]] Matrix<typename Model::Scalar> prepare(const Model& model, std::span<const Image> pictures) {
  Matrix<typename Model::Scalar> images(patch_grid(model).values_per_image(), static_cast<Index>(pictures.size()));
  for (std::size_t i = 0; i < pictures.size(); ++i) images.col(static_cast<Index>(i)) = prepare(model, pictures[i]);
  return images;
}

}  // namespace crate
