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
  Index locals = 8;          ///< how many local views, >= 0
  double border = 0.4;       ///< area where local crops end and global ones begin
  double least_area = 0.05;  ///< of local crops
  bool flip = true;
  double largest_blur = 2;  ///< deviation in pixels of a global view
  ColourJitter jitter = {.probability = 0.8, .brightness = 0.4, .contrast = 0.4, .saturation = 0.2, .hue = 0.1};
};

/// The views with which DINO is published: blur of the first global view always, of the second with probability 0.1, of
/// local ones 0.5; the second global view is solarised with probability 0.2, and every fifth view grey.
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

/// For images of 32 x 32 or so, in colour: local crops of 16 x 16, not so small that nothing is to be seen in them, and
/// blur by as much of a picture as published. At 28 x 28 or 32 x 32 a view is blurred but little.
[[nodiscard]] inline MultiCrop small_multi_crop(Index side = 32, Index local_side = 16, Index locals = 6) {
  return {.global_side = side, .local_side = local_side, .locals = locals, .least_area = 0.15, .largest_blur = 0.7};
}

/// The same for grey images of 28 x 28 or so, whose colours are brightness and contrast.
[[nodiscard]] inline MultiCrop small_grey_multi_crop(Index side = 28, Index local_side = 16, Index locals = 6) {
  MultiCrop crop = small_multi_crop(side, local_side, locals);
  crop.jitter = {.probability = 0.8, .brightness = 0.4, .contrast = 0.4};
  return crop;
}

}  // namespace crate
