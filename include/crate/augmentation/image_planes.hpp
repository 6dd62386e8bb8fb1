// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// A picture as numbers in [0, 1], before models' normalisation.
struct ImagePlanes {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  /// width x (height channels): a column is a row of pixels, channel after channel, which is the order of an image in
  /// (C H W) x B.
  Matrix<float> pixels = {};

  /// Throws ShapeError unless there is at least a pixel, and the sizes agree.
  void check() const {
    check_not_empty("image planes", pixels);
    check_shape("image planes", pixels, width, height * channels);
  }

  [[nodiscard]] auto plane(Index channel) { return pixels.middleCols(channel * height, height); }
  [[nodiscard]] auto plane(Index channel) const { return pixels.middleCols(channel * height, height); }
};

/// Every row of pixels backwards.
inline void mirror(ImagePlanes& image) { image.pixels.colwise().reverseInPlace(); }

}  // namespace crate
