// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include "crate/core/matrix.hpp"
#include "crate/io/image_data_set.hpp"
#include "crate/io/pixels.hpp"
#include "crate/io/resize.hpp"

namespace crate {

/// The means and deviations of red, green and blue in ImageNet, with which the published models were trained.
[[nodiscard]] inline ImageNormalisation imagenet_normalisation() {
  return {.mean = {0.485, 0.456, 0.406}, .deviation = {0.229, 0.224, 0.225}};
}

/// (pixel / 255 - mean) / deviation in the order channel, row, column, as models take images: C H W values.
/// Throws ShapeError unless the image is what it says, OptionError unless the normalisation fits its channels.
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

/// A photograph as the published evaluation hands it to a model for images of height x width: the shorter side resized to 256/224 of the
/// model's longer one, the centre cropped out, the colours normalised. A column of images for `forward`.
/// Throws ShapeError unless the image is RGB, and as resize.
template <Scalar S>
[[nodiscard]] Vector<S> prepare_image(const Image& image, Index height, Index width) {
  check_size("photograph: channels", image.channels, 3);
  const Index shorter_side = std::max(height, width) * 256 / 224;
  return normalised_image<S>(centre_crop(resize_shorter_side(image, shorter_side), height, width),
                             imagenet_normalisation());
}

}  // namespace crate
