// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "crate/analysis/masks.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/formats/pixels.hpp"
#include "crate/models/image_preprocessing.hpp"
#include "crate/operators/patches.hpp"
#include "plots/drawing.hpp"
#include "plots/heat_map.hpp"

// Maps and masks drawn over images, in RGB.

namespace inspect_model {

using crate::Image;
using crate::Index;
using crate::Matrix;

/// An image under its name.
struct NamedImage {
  std::string name;
  Image image;
};

/// Images beside each other.
struct ImageRow {
  std::vector<NamedImage> images;
  std::string caption;
};

/// Calls body(y, x, pixel), where pixel is the first of the three values of a pixel.
template <class Body>
void for_each_pixel(Image& image, const Body& body) {
  for (Index y = 0; y < image.height; ++y)
    for (Index x = 0; x < image.width; ++x)
      body(y, x, image.pixels.data() + static_cast<std::size_t>(3 * (y * image.width + x)));
}

[[nodiscard]] inline Image blank_image(Index height, Index width, std::uint8_t value) {
  return {height, width, 3, std::vector<std::uint8_t>(static_cast<std::size_t>(3 * height * width), value)};
}

/// The image that a model takes, C H W values, in RGB: of 3 channels as they are, else the first of them in grey. Where
/// the model does not tell its normalisation, the least value is black and the largest white.
template <class Values>
[[nodiscard]] Image image_of_values(const Values& values, const crate::PatchGrid& grid,
                                    const crate::ImageNormalisation& normalisation) {
  Image image = blank_image(grid.image_height(), grid.image_width(), 0);
  const bool is_known = !normalisation.mean.empty();
  const double least = values.minCoeff(), range = std::max(values.maxCoeff() - least, 1e-12);
  for_each_pixel(image, [&](Index y, Index x, std::uint8_t* pixel) {
    for (Index c = 0; c < 3; ++c) {
      const Index channel = grid.channels == 3 ? c : 0;
      const auto at = static_cast<std::size_t>(channel);
      const double value = values((channel * image.height + y) * image.width + x);
      const double share =
          is_known ? value * normalisation.deviation[at] + normalisation.mean[at] : (value - least) / range;
      pixel[c] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(share, 0.0, 1.0)));
    }
  });
  return image;
}

[[nodiscard]] inline std::uint8_t blend(double a, double b, double share_of_b) {
  return static_cast<std::uint8_t>(std::lround(std::clamp((1 - share_of_b) * a + share_of_b * b, 0.0, 255.0)));
}

/// The image, faded outside of the mask into a grey that sets off black as well as white.
[[nodiscard]] inline Image masked(Image image, const crate::Mask& mask) {
  for_each_pixel(image, [&](Index y, Index x, std::uint8_t* pixel) {
    for (int c = 0; c < 3 && !mask(y, x); ++c) pixel[c] = blend(pixel[c], 128, 0.8);
  });
  return image;
}

/// The image in grey under the colours of a map of its size: dark blue is 0, yellow `largest` and more.
[[nodiscard]] inline Image heated(Image image, const Matrix<double>& map, double largest) {
  largest = std::max(largest, 1e-300);
  for_each_pixel(image, [&](Index y, Index x, std::uint8_t* pixel) {
    const double grey = (pixel[0] + pixel[1] + pixel[2]) / 3.0, value = std::clamp(map(y, x) / largest, 0.0, 1.0);
    const plots::Colour colour =
        plots::colour_of_level(static_cast<int>(std::lround(value * (plots::colour_levels - 1))));
    for (std::size_t c = 0; c < 3; ++c) pixel[c] = blend(grey, colour[c], 0.65);
  });
  return image;
}

/// The image under the colours of each mask, the first of which lie above the others.
[[nodiscard]] inline Image tinted(Image image, const std::vector<crate::Mask>& masks) {
  constexpr plots::Colour colours[] = {{230, 90, 40}, {60, 130, 230}, {60, 180, 90}, {200, 80, 200}, {220, 190, 40}};
  for_each_pixel(image, [&](Index y, Index x, std::uint8_t* pixel) {
    for (std::size_t m = 0; m < masks.size(); ++m) {
      if (!masks[m](y, x)) continue;
      for (std::size_t c = 0; c < 3; ++c) pixel[c] = blend(pixel[c], colours[m % std::size(colours)][c], 0.55);
      break;
    }
  });
  return image;
}

/// A frame around a part of the image.
inline void frame(Image& image, Index top, Index left, Index height, Index width) {
  for_each_pixel(image, [&](Index y, Index x, std::uint8_t* pixel) {
    const bool inside = y >= top && y < top + height && x >= left && x < left + width;
    const bool at_edge = y == top || y == top + height - 1 || x == left || x == left + width - 1;
    if (!inside || !at_edge) return;
    pixel[0] = 255;
    pixel[1] = pixel[2] = 40;
  });
}

/// Each pixel becomes factor x factor.
[[nodiscard]] inline Image magnified(const Image& image, Index factor) {
  Image large = blank_image(factor * image.height, factor * image.width, 0);
  for_each_pixel(large, [&](Index y, Index x, std::uint8_t* pixel) {
    const auto from = static_cast<std::size_t>(3 * (y / factor * image.width + x / factor));
    std::copy_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(from), 3, pixel);
  });
  return large;
}

/// By how much images of a height are magnified, that they can be looked at.
[[nodiscard]] inline Index magnification(Index height) { return std::max(Index{1}, 112 / height); }

inline void copy_into(Image& to, const Image& from, Index top, Index left) {
  for (Index y = 0; y < from.height; ++y)
    std::copy_n(from.pixels.begin() + static_cast<std::ptrdiff_t>(3 * y * from.width), 3 * from.width,
                to.pixels.begin() + static_cast<std::ptrdiff_t>(3 * ((top + y) * to.width + left)));
}

/// Rows of images on white, each magnified.
[[nodiscard]] inline Image montage(const std::vector<ImageRow>& rows) {
  constexpr Index gap = 6;
  Index height = gap, width = 0;
  for (const ImageRow& row : rows) {
    Index row_height = 0, row_width = gap;
    for (const auto& [name, image] : row.images) {
      const Index factor = magnification(image.height);
      row_height = std::max(row_height, factor * image.height);
      row_width += factor * image.width + gap;
    }
    height += row_height + gap;
    width = std::max(width, row_width);
  }
  Image all = blank_image(height, width, 255);
  Index top = gap;
  for (const ImageRow& row : rows) {
    Index left = gap, row_height = 0;
    for (const auto& [name, image] : row.images) {
      const Image large = magnified(image, magnification(image.height));
      copy_into(all, large, top, left);
      left += large.width + gap;
      row_height = std::max(row_height, large.height);
    }
    top += row_height + gap;
  }
  return all;
}

/// The patch of this number, framed, and those around it; grey beyond the borders of the image.
[[nodiscard]] inline Image surroundings(const Image& image, const crate::PatchGrid& grid, Index patch) {
  const Index top = (patch / grid.columns - 1) * grid.height, left = (patch % grid.columns - 1) * grid.width;
  Image part = blank_image(3 * grid.height, 3 * grid.width, 128);
  for_each_pixel(part, [&](Index y, Index x, std::uint8_t* pixel) {
    const Index from_y = top + y, from_x = left + x;
    if (from_y < 0 || from_x < 0 || from_y >= image.height || from_x >= image.width) return;
    std::copy_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(3 * (from_y * image.width + from_x)), 3, pixel);
  });
  const Index factor = magnification(part.height);
  Image large = magnified(part, factor);
  frame(large, factor * grid.height, factor * grid.width, factor * grid.height, factor * grid.width);
  return large;
}

}  // namespace inspect_model
