// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// A picture as numbers in [0, 1], before the normalisation of a model.
struct ImagePlanes {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  /// width x (height channels): each column is one row of pixels, channel after channel, in the order of an image in
  /// (C H W) x B.
  Matrix<float> pixels = {};

  /// Throws ShapeError unless there is at least one pixel and the sizes agree.
  void check() const {
    check_not_empty("image planes", pixels);
    check_shape("image planes", pixels, width, height * channels);
  }

  [[nodiscard]] auto plane(Index channel) { return pixels.middleCols(channel * height, height); }
  [[nodiscard]] auto plane(Index channel) const { return pixels.middleCols(channel * height, height); }
};

/// Reverses every row of pixels.
inline void mirror(ImagePlanes& image) { image.pixels.colwise().reverseInPlace(); }

}  // namespace crate
