// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "crate/augmentation/image_augmentation.hpp"
#include "crate/core/matrix.hpp"

// Views of a picture for self-distillation: two global ones first, then local ones.

namespace crate {

struct MultiCrop {
  Index global_side = 224;
  Index local_side = 96;
  Index locals = 8;          ///< number of local views, >= 0
  double border = 0.4;       ///< the relative area that separates local crops (below) from global ones (above)
  double least_area = 0.05;  ///< smallest relative area of local crops
  bool flip = true;
  double largest_blur = 2;  ///< largest standard deviation of the blur of a global view, in pixels
  ColourJitter jitter = {.probability = 0.8, .brightness = 0.4, .contrast = 0.4, .saturation = 0.2, .hue = 0.1};
};

/// The multi-crop views of DINO: blur with probability 1 for the first global view, 0.1 for the second and 0.5 for
/// local ones; the second global view is solarised with probability 0.2, and every view is grey with probability 0.2.
/// Source: arXiv 2104.14294 and its code.
[[nodiscard]] inline std::vector<ImageAugmentation> multi_crop_views(const MultiCrop& crop = {}) {
  check_option(crop.locals >= 0, "local views >= 0", crop.locals);
  const auto view = [&](Index side, double least, double largest, double blur) {
    return ImageAugmentation{
        .flip = crop.flip,
        .crop = RandomCrop{.height = side, .width = side, .least_area = least, .largest_area = largest},
        .jitter = crop.jitter,
        .grey = 0.2,
        .blur = {.probability = blur, .largest_deviation = crop.largest_blur}};
  };
  std::vector<ImageAugmentation> views{view(crop.global_side, crop.border, 1, 1),
                                       view(crop.global_side, crop.border, 1, 0.1)};
  views.back().solarise = 0.2;
  for (Index i = 0; i < crop.locals; ++i) views.push_back(view(crop.local_side, crop.least_area, crop.border, 0.5));
  for (const ImageAugmentation& each : views) each.check();
  return views;
}

/// Views of colour images of about 32 x 32: local crops of 16 x 16, large enough to show something, and blur in
/// proportion to the picture as published. At 28 x 28 or 32 x 32 this is only a slight blur.
[[nodiscard]] inline MultiCrop small_multi_crop(Index side = 32, Index local_side = 16, Index locals = 6) {
  return {.global_side = side, .local_side = local_side, .locals = locals, .least_area = 0.15, .largest_blur = 0.7};
}

/// Views of grey images of about 28 x 28, whose only colour changes are brightness and contrast.
[[nodiscard]] inline MultiCrop small_grey_multi_crop(Index side = 28, Index local_side = 16, Index locals = 6) {
  MultiCrop crop = small_multi_crop(side, local_side, locals);
  crop.jitter = {.probability = 0.8, .brightness = 0.4, .contrast = 0.4};
  return crop;
}

}  // namespace crate
