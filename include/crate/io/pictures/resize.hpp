// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/formats/pixels.hpp"
#include "crate/operators/resampling.hpp"

namespace crate {

namespace detail {

/// Weights are in units of 2^-22, as in Pillow, for identical pixels.
inline constexpr int weight_bits = 22;

/// Resizes an image to another height; values are rounded to 8 bits, as in Pillow. Sums fit
/// 32 bits: the weights of each are positive, together 2^22, and rounding makes them at most twice as large.
inline Image resize_height(const Image& image, Index height) {
  constexpr std::int32_t one = std::int32_t{1} << weight_bits;
  const AxisTaps<double> taps = resizing_taps<double>(image.height, height, Interpolation::linear);
  const Index row = image.width * image.channels;
  Image result{height, image.width, image.channels, {}};
  result.pixels.resize(static_cast<std::size_t>(height * row));
  std::vector<std::int32_t> sums(static_cast<std::size_t>(row));
  for (Index y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), one / 2);
    const std::uint8_t* from = image.pixels.data() + taps.first[static_cast<std::size_t>(y)] * row;
    for (Index t = 0; t < taps.count[static_cast<std::size_t>(y)]; ++t) {
      const auto weight = static_cast<std::int32_t>(std::lround(taps.weights(t, y) * one));
      for (std::int32_t& sum : sums) sum += weight * *from++;
    }
    std::transform(sums.begin(), sums.end(), result.pixels.begin() + y * row,
                   [](std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> weight_bits, 0, 255)); });
  }
  return result;
}

/// Throws ShapeError unless the image's sizes are consistent and the new size is possible.
inline void check_resized(const Image& image, Index height, Index width) {
  check_image(image);
  if (height < 1 || width < 1)
    throw ShapeError(concatenate("resized image: expected at least 1 x 1, found ", height, " x ", width));
  if (height > maximal_pixels / width)
    throw ShapeError(concatenate("resized image: expected at most ", maximal_pixels, " pixels, found ", height, " x ",
                                 width, " from ", image.height, " x ", image.width));
}

}  // namespace detail

/// The image scaled to height x width by linear interpolation, with a wider kernel when shrinking, so that
/// every pixel counts. Throws ShapeError unless the sizes are positive, at most `maximal_pixels` in total,
/// and the image is consistent.
[[nodiscard]] inline Image resize(const Image& image, Index height, Index width) {
  detail::check_resized(image, height, width);
  detail::check_resized(image, image.height, width);  // the intermediate image
  return detail::resize_height(detail::transposed(detail::resize_height(detail::transposed(image), width)), height);
}

/// Scales the shorter side to `side` and the other in proportion. Throws as resize.
[[nodiscard]] inline Image resize_shorter_side(const Image& image, Index side) {
  detail::check_resized(image, side, 1);
  const Index shorter = std::min(image.height, image.width);
  const Index height = image.height == shorter ? side : side * image.height / shorter;
  const Index width = image.width == shorter ? side : side * image.width / shorter;
  return resize(image, height, width);
}

/// The central height x width pixels of an image; half of an odd remainder is rounded to even. Throws
/// ShapeError unless they fit.
[[nodiscard]] inline Image centre_crop(const Image& image, Index height, Index width) {
  check_image(image);
  if (height < 1 || width < 1 || height > image.height || width > image.width)
    throw ShapeError(concatenate("cropped image: expected 1 x 1 to ", image.height, " x ", image.width, ", found ",
                                 height, " x ", width));
  const Index top = std::lrint(static_cast<double>(image.height - height) / 2);
  const Index left = std::lrint(static_cast<double>(image.width - width) / 2);
  Image result{height, width, image.channels, {}};
  for (Index y = 0; y < height; ++y) {
    const auto row = image.pixels.begin() + ((top + y) * image.width + left) * image.channels;
    result.pixels.insert(result.pixels.end(), row, row + width * image.channels);
  }
  return result;
}

/// The image scaled to just cover height x width, and cropped to that in the centre. Throws as resize.
[[nodiscard]] inline Image resize_to_cover(const Image& image, Index height, Index width) {
  detail::check_resized(image, height, width);
  const double scale = std::max(static_cast<double>(height) / static_cast<double>(image.height),
                                static_cast<double>(width) / static_cast<double>(image.width));
  const auto scaled = [&](Index side, Index wanted) {
    return std::max(wanted, static_cast<Index>(std::lround(static_cast<double>(side) * scale)));
  };
  return centre_crop(resize(image, scaled(image.height, height), scaled(image.width, width)), height, width);
}

}  // namespace crate
