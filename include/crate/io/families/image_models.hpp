// SPDX-License-Identifier: MIT
#pragma once

#include "crate/io/families/first_layer.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/models/image_classifier.hpp"
#include "crate/operators/patches.hpp"

// Common parts of the families of image models.

namespace crate::detail {

/// Options of an image model that cannot be derived from its weights.
[[nodiscard]] inline LoadOptions options_to_load_images(const PatchGrid& grid, const FirstLayer& first) {
  return {.heads = first.heads,
          .image_height = grid.image_height(),
          .image_width = grid.image_width(),
          .patch_height = grid.height,
          .patch_width = grid.width,
          .channels = grid.channels,
          .step = first.step,
          .lambda = first.lambda};
}

inline constexpr ImageOptions smallest_image{
    .height = 1, .width = 1, .channels = 1, .patch_height = 1, .patch_width = 1};

}  // namespace crate::detail
