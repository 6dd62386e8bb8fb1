// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>

#include "crate/augmentation/image_planes.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

// Changes of the colours of a picture. Grey pictures, with one channel, have neither saturation nor hue; changes of
// these leave them unchanged.

namespace crate {

namespace detail {

/// The grey of each pixel, width x height: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), or the single channel.
[[nodiscard]] inline Matrix<float> grey_plane(const ImagePlanes& image) {
  if (image.channels == 1) return image.plane(0);
  check_size("colours: channels", image.channels, 3);
  return 0.299F * image.plane(0) + 0.587F * image.plane(1) + 0.114F * image.plane(2);
}

/// A channel's value after a change of hue: `place` = 5, 3, 1 for red, green, blue, hue in [0, 6).
[[nodiscard]] inline float value_of_hue(float hue, float place, float largest, float chroma) {
  float k = place + hue;
  k = k >= 6 ? k - 6 : k;
  return largest - chroma * std::max(0.0F, std::min(std::min(k, 4 - k), 1.0F));
}

}  // namespace detail

/// f x, clamped to [0, 1].
inline void scale_brightness(ImagePlanes& image, double factor) {
  image.pixels = (static_cast<float>(factor) * image.pixels.array()).max(0.0F).min(1.0F);
}

/// m + f (x - m), clamped to [0, 1], with m the mean grey of the picture.
inline void scale_contrast(ImagePlanes& image, double factor) {
  const double mean = detail::grey_plane(image).cast<double>().mean();
  image.pixels =
      (static_cast<float>(factor) * image.pixels.array() + static_cast<float>((1 - factor) * mean)).max(0.0F).min(1.0F);
}

/// g + f (x - g), clamped to [0, 1], with g the grey of the pixel.
inline void scale_saturation(ImagePlanes& image, double factor) {
  if (image.channels == 1) return;
  const Matrix<float> grey = detail::grey_plane(image);
  const auto f = static_cast<float>(factor);
  for (Index c = 0; c < image.channels; ++c)
    image.plane(c) = (f * image.plane(c).array() + (1 - f) * grey.array()).max(0.0F).min(1.0F);
}

/// Rotates the hue of every pixel by a fraction of the circle, in [-1/2, 1/2]; HSV saturation and value are unchanged.
inline void turn_hue(ImagePlanes& image, double turn) {
  check_option(turn >= -0.5 && turn <= 0.5, "turn of the hue in [-0.5, 0.5]", turn);
  if (image.channels == 1) return;
  check_size("colours: channels", image.channels, 3);
  const auto sixths = static_cast<float>(6 * (turn < 0 ? turn + 1 : turn));
  const Index plane = image.height * image.width;
  float* const red = image.pixels.data();
  float* const green = red + plane;
  float* const blue = green + plane;
  for (Index i = 0; i < plane; ++i) {
    const float r = red[i], g = green[i], b = blue[i];
    const float largest = std::max(std::max(r, g), b), chroma = largest - std::min(std::min(r, g), b);
    const float part = 1 / (chroma > 0 ? chroma : 1.0F);
    const float of_red = (g - b) * part, of_green = 2 + (b - r) * part, of_blue = 4 + (r - g) * part;
    float hue = sixths + (largest == r ? of_red : largest == g ? of_green : of_blue);
    hue = hue < 0 ? hue + 6 : hue;
    hue = hue >= 6 ? hue - 6 : hue;
    red[i] = detail::value_of_hue(hue, 5, largest, chroma);
    green[i] = detail::value_of_hue(hue, 3, largest, chroma);
    blue[i] = detail::value_of_hue(hue, 1, largest, chroma);
  }
}

/// Sets every channel to the grey of the pixel.
inline void make_grey(ImagePlanes& image) {
  if (image.channels == 1) return;
  const Matrix<float> grey = detail::grey_plane(image);
  for (Index c = 0; c < image.channels; ++c) image.plane(c) = grey;
}

/// Solarisation: 1 - x if x reaches the threshold, otherwise x.
inline void solarise(ImagePlanes& image, double threshold) {
  const auto level = static_cast<float>(threshold);
  float* const pixels = image.pixels.data();
  for (Index i = 0; i < image.pixels.size(); ++i) {
    const float x = pixels[i], inverted = 1 - x;
    pixels[i] = x < level ? x : inverted;
  }
}

}  // namespace crate
