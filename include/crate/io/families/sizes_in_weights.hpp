// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "crate/core/errors.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/models/image_classifier.hpp"

// Derives the sizes of a model from the shapes of its tensors.

namespace crate::detail {

/// Lower bounds on what a file with a model's weights contains.
struct LeastWeights {
  double numbers = 0, tensors = 0;
};

/// The integer square root of a square size; nothing for other sizes.
[[nodiscard]] inline std::optional<Index> whole_root(Index size) {
  const auto root = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(size))));
  return root * root == size ? std::optional(root) : std::nullopt;
}

/// Throws FileError if a dimension of the tensor is 0: such a tensor has no bytes, whatever its other dimensions.
inline void check_has_elements(const Tensor& tensor) {
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end())
    throw tensor_error(tensor, "expected dimensions of at least 1, found shape ", shape_text(tensor.shape));
}

struct Sides {
  Index height, width;
};

/// The sides of an area, of which none, one or both are given; a square if none is.
/// Throws OptionError if they contradict the area, or cannot be determined.
[[nodiscard]] inline Sides sides_of(std::string_view what, Index area, std::optional<Index> height,
                                    std::optional<Index> width) {
  if (!height && !width) {
    const auto root = whole_root(area);
    if (!root)
      throw OptionError(concatenate(what, ": expected height and width to be given, because the weights have ", area,
                                    ", which is not a square; found neither"));
    height = width = root;
  }
  const auto other = [&](Index side) { return side >= 1 && area % side == 0 ? area / side : 0; };
  const Sides sides{height ? *height : other(*width), width ? *width : other(*height)};
  if (sides.height < 1 || sides.width < 1 || sides.height > area || sides.width != other(sides.height))
    throw OptionError(concatenate(what, ": expected sides whose product is ", area, ", as the weights have, found ",
                                  height ? std::to_string(*height) : "?", " x ", width ? std::to_string(*width) : "?"));
  return sides;
}

/// The number of patches across a side of an image, if the side is given.
[[nodiscard]] inline std::optional<Index> patches_across(std::string_view what, std::optional<Index> side, Index patch,
                                                         std::string_view lines) {
  if (!side) return std::nullopt;
  check_side(what, *side, patch, lines);
  return *side / patch;
}

/// Images of `patches` patches, whose size comes from the options or a convolution kernel [d, C, h, w].
[[nodiscard]] inline ImageOptions image_options(const LoadOptions& options, Index patches, Index channels,
                                                Sides patch) {
  const Sides grid =
      sides_of("number of patches", patches, patches_across("image height", options.image_height, patch.height, "rows"),
               patches_across("image width", options.image_width, patch.width, "columns"));
  return {.height = grid.height * patch.height,
          .width = grid.width * patch.width,
          .channels = channels,
          .patch_height = patch.height,
          .patch_width = patch.width};
}

/// Images whose weights determine only the number of values of a patch.
[[nodiscard]] inline ImageOptions image_of_values(const LoadOptions& options, Index patches, Index values) {
  Index channels = options.channels.value_or(3);
  if (!options.channels && options.patch_height && options.patch_width && *options.patch_height >= 1 &&
      *options.patch_width >= 1)
    channels = values / *options.patch_height / *options.patch_width;
  check_option(channels >= 1 && values % channels == 0,
               concatenate("channels that divide the ", values, " values of a patch"), channels);
  return image_options(options, patches, channels,
                       sides_of("pixels of a patch", values / channels, options.patch_height, options.patch_width));
}

/// Images whose patches are determined by a convolution kernel [d, C, h, w].
[[nodiscard]] inline ImageOptions image_of_kernel(const LoadOptions& options, Index patches, const Tensor& kernel) {
  check_rank(kernel, 4);
  check_has_elements(kernel);
  const auto& shape = kernel.shape;
  (void)agreed("channels", options.channels, shape[1]);
  return image_options(
      options, patches, shape[1],
      {*agreed("patch height", options.patch_height, shape[2]), *agreed("patch width", options.patch_width, shape[3])});
}

/// The number of consecutive indices i, from 0, for which a tensor prefix + i + suffix exists.
[[nodiscard]] inline Index count_layers(const TensorTable& weights, std::string_view prefix, std::string_view suffix) {
  Index count = 0;
  while (weights.find(concatenate(prefix, count, suffix)) != nullptr) ++count;
  return count;
}

/// Dimension `axis` of a tensor of `rank` dimensions. Throws FileError if it has another rank or a dimension of 0.
[[nodiscard]] inline Index dimension(const TensorTable& weights, std::string_view name, std::size_t rank,
                                     std::size_t axis) {
  const Tensor& tensor = weights.at(name);
  check_rank(tensor, rank);
  check_has_elements(tensor);
  return tensor.shape[axis];
}

[[nodiscard]] inline Index heads_of(const LoadOptions& options) {
  if (!options.heads)
    throw OptionError("heads: expected to be given, because weights do not reveal them; found nothing");
  check_option(*options.heads >= 1, "heads >= 1", *options.heads);
  return *options.heads;
}

/// p, for a U with `width` = K p columns.
[[nodiscard]] inline Index head_dim_of(Index heads, Index width, std::string_view what = "heads") {
  check_option(width % heads == 0, concatenate(what, " that divide the ", width, " rows of the projection"), heads);
  return width / heads;
}

}  // namespace crate::detail
