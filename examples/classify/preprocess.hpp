// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>

#include "crate/core/matrix.hpp"
#include "crate/io/pixels.hpp"
#include "crate/io/resize.hpp"

// Photographs as the published evaluation prepares them: the shorter side resized, the centre cropped out, the colours
// normalised.

namespace classify {

using crate::Image;
using crate::Index;
using crate::resize_shorter_side;

/// The centre of an RGB image as a column in the order channel, row, column: (value / 255 - mean) / deviation, with the usual
/// means and deviations of natural images. The crop must fit into the image.
inline crate::Vector<float> normalised_centre(const Image& image, Index height, Index width) {
  static constexpr std::array mean{0.485, 0.456, 0.406}, deviation{0.229, 0.224, 0.225};
  const Index top = std::lrint(static_cast<double>(image.height - height) / 2);
  const Index left = std::lrint(static_cast<double>(image.width - width) / 2);
  crate::Vector<float> column(3 * height * width);
  Index i = 0;
  for (std::size_t c = 0; c < 3; ++c)
    for (Index y = 0; y < height; ++y)
      for (Index x = 0; x < width; ++x) {
        const auto at = static_cast<std::size_t>(((top + y) * image.width + left + x) * 3) + c;
        column(i++) = static_cast<float>((image.pixels[at] / 255.0 - mean[c]) / deviation[c]);
      }
  return column;
}

}  // namespace classify
