// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Larger pictures are refused, because a small file can claim any size.
inline constexpr Index maximal_pixels = 100'000'000;

/// A picture of 8-bit values, in the order row, column, channel, the channel fastest.
struct Image {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  std::vector<std::uint8_t> pixels = {};
};

/// Throws ShapeError unless the image has pixels, and as many as its sizes say.
inline void check_image(const Image& image) {
  constexpr Index largest = std::numeric_limits<Index>::max();
  const bool positive = image.height > 0 && image.width > 0 && image.channels > 0;
  if (!positive || image.width > largest / image.channels || image.height > largest / (image.width * image.channels))
    throw ShapeError(concatenate("image: expected at least 1 x 1 x 1, found ", image.height, " x ", image.width, " x ",
                                 image.channels));
  check_size("image: values", static_cast<Index>(image.pixels.size()), image.height * image.width * image.channels);
}

namespace detail {

/// A picture of height x width from the pixels of another: pixel (y, x) is pixel number first +
/// y row_step + x column_step of the other, counted row by row.
inline Image rearranged(const Image& from, Index height, Index width, Index first, Index row_step, Index column_step) {
  constexpr Index tile = 32;  // neighbours here may be rows apart there; tiles of both stay in the cache
  Image to{height, width, from.channels, {}};
  to.pixels.resize(from.pixels.size());
  for (Index top = 0; top < height; top += tile)
    for (Index left = 0; left < width; left += tile)
      for (Index y = top; y < std::min(top + tile, height); ++y)
        for (Index x = left; x < std::min(left + tile, width); ++x) {
          const std::uint8_t* const pixel =
              from.pixels.data() + (first + y * row_step + x * column_step) * from.channels;
          std::uint8_t* const target = to.pixels.data() + (y * width + x) * from.channels;
          for (Index c = 0; c < from.channels; ++c) target[c] = pixel[c];
        }
  return to;
}

/// The transposed picture.
[[nodiscard]] inline Image transposed(const Image& image) {
  return rearranged(image, image.width, image.height, 0, 1, image.width);
}

/// The weights of red, green and blue in brightness (ITU-R BT.601) in units of 2^-16, as in Pillow, for
/// identical pixels.
inline constexpr std::array<std::uint32_t, 3> brightness_weights{19595, 38470, 7471};

[[nodiscard]] inline Image grey_from_rgb(const Image& image) {
  Image grey{image.height, image.width, 1, {}};
  grey.pixels.resize(image.pixels.size() / 3);
  const std::uint8_t* rgb = image.pixels.data();
  for (std::uint8_t& pixel : grey.pixels) {
    constexpr std::uint32_t half = 0x8000;
    std::uint32_t sum = half;
    for (const std::uint32_t weight : brightness_weights) sum += weight * *rgb++;
    pixel = static_cast<std::uint8_t>(sum >> 16U);
  }
  return grey;
}

[[nodiscard]] inline Image rgb_from_grey(const Image& image) {
  Image rgb{image.height, image.width, 3, {}};
  rgb.pixels.resize(image.pixels.size() * 3);
  for (std::size_t i = 0; i < rgb.pixels.size(); ++i) rgb.pixels[i] = image.pixels[i / 3];
  return rgb;
}

}  // namespace detail

/// Converts the picture to grey (1 channel) or RGB (3). Grey is the brightness 0.299 R + 0.587 G + 0.114 B,
/// rounded; RGB repeats it, so that converting back gives the same grey. Throws ShapeError unless both
/// numbers of channels are 1 or 3.
[[nodiscard]] inline Image with_channels(Image image, Index channels) {
  check_image(image);
  for (const Index count : {image.channels, channels})
    if (count != 1 && count != 3) throw ShapeError(concatenate("image: expected 1 or 3 channels, found ", count));
  if (image.channels == channels) return image;
  return channels == 1 ? detail::grey_from_rgb(image) : detail::rgb_from_grey(image);
}

}  // namespace crate
