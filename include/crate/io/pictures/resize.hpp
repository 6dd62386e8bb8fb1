// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/formats/pixels.hpp"

namespace crate {

namespace detail {

/// Which samples of an axis make one sample of a resized axis, and how much of each: in units of 2^-22, as the
/// imaging library of the reference (Pillow) computes, so that every pixel is the same.
struct Taps {
  static constexpr int fraction_bits = 22;
  static constexpr std::int64_t one = std::int64_t{1} << fraction_bits;
  Index first;
  std::vector<std::int64_t> weights;  // they sum to one, but for rounding
};

/// Linear interpolation, widened when shrinking so that every sample counts; sample centres aligned.
inline std::vector<Taps> linear_taps(Index from, Index to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), support = std::max(scale, 1.0);
  std::vector<Taps> all;
  for (Index i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<Index>(0, static_cast<Index>(std::floor(centre - support + 0.5)));
    const auto last = std::min<Index>(from, static_cast<Index>(std::floor(centre + support + 0.5)));
    std::vector<double> weights;
    double sum = 0;
    for (Index j = first; j < last; ++j) {
      const double distance = std::abs((static_cast<double>(j) + 0.5 - centre) / support);
      weights.push_back(std::max(0.0, 1 - distance));
      sum += weights.back();
    }
    Taps taps{first, {}};
    for (const double weight : weights) taps.weights.push_back(std::llround(weight / sum * Taps::one));
    all.push_back(std::move(taps));
  }
  return all;
}

/// Resizes the rows of an image; intermediate values are rounded to 8 bits, as the reference's imaging library does.
inline Image resize_rows(const Image& image, Index width) {
  const std::vector<Taps> taps = linear_taps(image.width, width);
  Image result{image.height, width, image.channels, {}};
  result.pixels.resize(static_cast<std::size_t>(image.height * width * image.channels));
  auto* out = result.pixels.data();
  for (Index y = 0; y < image.height; ++y)
    for (const Taps& tap : taps)
      for (Index c = 0; c < image.channels; ++c) {
        const auto* pixel = image.pixels.data() + (y * image.width + tap.first) * image.channels + c;
        std::int64_t sum = Taps::one / 2;
        for (const std::int64_t weight : tap.weights) {
          sum += weight * *pixel;
          pixel += image.channels;
        }
        *out++ = static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> Taps::fraction_bits, 0, 255));
      }
  return result;
}

/// Throws ShapeError unless the image is what it says and there can be one of this size.
inline void check_resized(const Image& image, Index height, Index width) {
  check_image(image);
  if (height < 1 || width < 1)
    throw ShapeError(concatenate("resized image: expected at least 1 x 1, found ", height, " x ", width));
  if (height > maximal_pixels / width)
    throw ShapeError(concatenate("resized image: expected at most ", maximal_pixels, " pixels, found ", height, " x ",
                                 width, " from ", image.height, " x ", image.width));
}

}  // namespace detail

/// The image scaled to height x width by linear interpolation, widened when shrinking so that every pixel counts.
/// Throws ShapeError unless the sizes are positive, at most `maximal_pixels` together, and the image is what it says.
[[nodiscard]] inline Image resize(const Image& image, Index height, Index width) {
  detail::check_resized(image, height, width);
  detail::check_resized(image, image.height, width);  // on the way
  return detail::transposed(detail::resize_rows(detail::transposed(detail::resize_rows(image, width)), height));
}

/// The shorter side becomes `side`, the other follows. Throws as resize.
[[nodiscard]] inline Image resize_shorter_side(const Image& image, Index side) {
  detail::check_resized(image, side, 1);
  const Index shorter = std::min(image.height, image.width);
  const Index height = image.height == shorter ? side : side * image.height / shorter;
  const Index width = image.width == shorter ? side : side * image.width / shorter;
  return resize(image, height, width);
}

/// The middle height x width pixels of an image; half of an odd rest is rounded to even. Throws ShapeError unless
/// they fit.
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

/// The image scaled until it just covers height x width, and cropped to that in the centre. Throws as resize.
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
