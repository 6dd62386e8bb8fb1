// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Larger pictures are refused: a small file can claim any size.
inline constexpr Index maximal_pixels = 100'000'000;

/// A picture of 8-bit values, by row, column and channel, the channel fastest.
struct Image {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  std::vector<std::uint8_t> pixels = {};
};

/// Throws ShapeError unless the image has pixels, and as many as its size says.
inline void check_image(const Image& image) {
  constexpr Index largest = std::numeric_limits<Index>::max();
  const bool positive = image.height > 0 && image.width > 0 && image.channels > 0;
  if (!positive || image.width > largest / image.channels || image.height > largest / (image.width * image.channels))
    throw ShapeError(concatenate("image: expected at least 1 x 1 x 1, found ", image.height, " x ", image.width, " x ",
                                 image.channels));
  check_size("image: values", static_cast<Index>(image.pixels.size()), image.height * image.width * image.channels);
}

}  // namespace crate
