// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/formats/pixels.hpp"
#include "crate/operators/patches.hpp"

namespace crate {

/// The grid of whole patches in the image. Throws ShapeError if not one fits, or a side of a patch is below 1.
[[nodiscard]] inline PatchGrid patch_grid(const Image& image, Index patch_height, Index patch_width) {
  check_image(image);
  if (patch_height < 1 || patch_width < 1 || patch_height > image.height || patch_width > image.width)
    throw ShapeError(concatenate("patches: expected sides from 1 x 1 to ", image.height, " x ", image.width, ", found ",
                                 patch_height, " x ", patch_width));
  return {image.height / patch_height, image.width / patch_width, patch_height, patch_width, image.channels};
}

/// Patches of the image as tokens, values_per_patch x patches: values in [0, 1], one column per patch, patches row by
/// row; within a column in the order row, column, channel, the channel fastest. Of rows and columns of pixels outside
/// whole patches, half are dropped on either side (the odd one at the bottom or right).
template <Scalar S>
[[nodiscard]] Matrix<S> tokens_from_image(const Image& image, const PatchGrid& grid) {
  check_image(image);
  grid.check();
  check_size("patches: channels", grid.channels, image.channels);
  const bool fits = grid.rows <= image.height / grid.height && grid.columns <= image.width / grid.width;
  if (!fits)
    throw ShapeError(concatenate("patches: expected a grid within ", image.height, " x ", image.width,
                                 " pixels, found ", grid.rows, " x ", grid.columns, " patches of ", grid.height, " x ",
                                 grid.width));
  const Index top = (image.height - grid.rows * grid.height) / 2;
  const Index left = (image.width - grid.columns * grid.width) / 2;
  const Index strip = grid.width * grid.channels;
  Matrix<S> tokens(grid.values_per_patch(), grid.patches());
  for (Index patch = 0; patch < grid.patches(); ++patch)
    for (Index row = 0; row < grid.height; ++row) {
      const Index y = top + patch / grid.columns * grid.height + row;
      const Index x = left + patch % grid.columns * grid.width;
      const std::uint8_t* const pixels = image.pixels.data() + (y * image.width + x) * grid.channels;
      for (Index i = 0; i < strip; ++i) tokens(row * strip + i, patch) = static_cast<S>(pixels[i]) / S(255);
    }
  return tokens;
}

/// The image of these patches: the inverse of `tokens_from_image`, without the dropped border. Values are clamped to
/// [0, 1] and rounded to 8 bits; nan becomes 0.
template <class Derived>
[[nodiscard]] Image image_from_tokens(const Eigen::MatrixBase<Derived>& tokens, const PatchGrid& grid) {
  grid.check();
  check_shape("patches", tokens, grid.values_per_patch(), grid.patches());
  const auto& values = evaluated(tokens);
  using S = typename Derived::Scalar;
  Image image{grid.rows * grid.height, grid.columns * grid.width, grid.channels, {}};
  image.pixels.resize(static_cast<std::size_t>(tokens.size()));
  const Index strip = grid.width * grid.channels;
  for (Index patch = 0; patch < grid.patches(); ++patch)
    for (Index row = 0; row < grid.height; ++row) {
      const Index y = patch / grid.columns * grid.height + row;
      const Index x = patch % grid.columns * grid.width;
      std::uint8_t* const pixels = image.pixels.data() + (y * image.width + x) * grid.channels;
      for (Index i = 0; i < strip; ++i) {
        const S value = values(row * strip + i, patch);
        const S clamped = value > S(0) ? std::min(value, S(1)) : S(0);
        pixels[i] = static_cast<std::uint8_t>(std::lround(clamped * S(255)));
      }
    }
  return image;
}

}  // namespace crate
