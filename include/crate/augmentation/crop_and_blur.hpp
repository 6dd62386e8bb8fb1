// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "crate/augmentation/image_planes.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/resampling.hpp"

namespace crate {

/// A rectangle in a picture, in pixels.
struct PictureBox {
  Index top = 0, left = 0, height = 0, width = 0;
};

/// The part of a picture resized to height x width by cubic convolution, with a wider kernel when shrinking, clamped to
/// [0, 1]. Pixels outside the part are not used. Throws ShapeError unless the part lies within the picture and sizes
/// are at least 1.
[[nodiscard]] inline ImagePlanes crop_and_resize(const ImagePlanes& image, const PictureBox& part, Index height,
                                                 Index width) {
  image.check();
  if (part.top < 0 || part.left < 0 || part.height < 1 || part.width < 1 || part.height > image.height - part.top ||
      part.width > image.width - part.left)
    throw ShapeError(concatenate("part of a picture: expected to lie within ", image.height, " x ", image.width,
                                 ", found ", part.height, " x ", part.width, " at ", part.top, ", ", part.left));
  const auto across = resizing_taps<float>(part.width, width, Interpolation::cubic);
  const auto down = resizing_taps<float>(part.height, height, Interpolation::cubic);
  ImagePlanes result{height, width, image.channels,
                     map_axes(image.pixels, image.height, across, part.left, down, part.top)};
  result.pixels = result.pixels.array().max(0.0F).min(1.0F);
  return result;
}

/// A Gaussian blur with this standard deviation, in pixels. The picture is mirrored at its borders, so the mean of
/// every channel is preserved. Pillow's GaussianBlur, used in DINO's recipe, instead repeats box filters, repeats the
/// border pixels, and rounds to 8 bits.
inline void blur(ImagePlanes& image, double deviation) {
  image.check();
  const auto across = blurring_taps<float>(image.width, deviation);
  const auto down = blurring_taps<float>(image.height, deviation);
  image.pixels = map_axes(image.pixels, image.height, across, 0, down, 0);
}

}  // namespace crate
