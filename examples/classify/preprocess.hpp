// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/io/pixels.hpp"

// Photographs as the published evaluation prepares them: the shorter side resized, the centre cropped out, the colours
// normalised.

namespace classify {

using crate::Image;
using crate::Index;

/// Which samples of an axis make one sample of a resized axis, and how much of each.
struct Taps {
  Index first;
  std::vector<double> weights;  // they sum to 1
};

/// Linear interpolation, widened when shrinking so that every sample counts; sample centres aligned.
inline std::vector<Taps> linear_taps(Index from, Index to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), support = std::max(scale, 1.0);
  std::vector<Taps> all;
  for (Index i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<Index>(0, static_cast<Index>(centre - support + 0.5));
    const auto last = std::min<Index>(from, static_cast<Index>(centre + support + 0.5));
    Taps taps{first, {}};
    double sum = 0;
    for (Index j = first; j < last; ++j) {
      const double distance = std::abs((static_cast<double>(j) + 0.5 - centre) / support);
      taps.weights.push_back(std::max(0.0, 1 - distance));
      sum += taps.weights.back();
    }
    for (double& weight : taps.weights) weight /= sum;
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
        double sum = 0;
        for (const double weight : tap.weights) {
          sum += weight * *pixel;
          pixel += image.channels;
        }
        *out++ = static_cast<std::uint8_t>(std::lround(std::clamp(sum, 0.0, 255.0)));
      }
  return result;
}

/// Rows become columns.
inline Image transposed(const Image& image) {
  Image result{image.width, image.height, image.channels, {}};
  result.pixels.reserve(image.pixels.size());
  for (Index x = 0; x < image.width; ++x)
    for (Index y = 0; y < image.height; ++y)
      for (Index c = 0; c < image.channels; ++c)
        result.pixels.push_back(image.pixels[static_cast<std::size_t>((y * image.width + x) * image.channels + c)]);
  return result;
}

/// The shorter side becomes `side`, the other follows.
inline Image resize_shorter_side(const Image& image, Index side) {
  const Index shorter = std::min(image.height, image.width);
  const Index height = image.height == shorter ? side : side * image.height / shorter;
  const Index width = image.width == shorter ? side : side * image.width / shorter;
  return transposed(resize_rows(transposed(resize_rows(image, width)), height));
}

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
