// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/io/formats/tensor_table.hpp"

// The images of a file of tensors, as models take them.

namespace image_program {

using crate::Index;

/// Images [B, C, H, W].
template <crate::Scalar S>
struct InputImages {
  Index height, width, channels;
  crate::Matrix<S> pixels;  // (C H W) x B
};

/// The first `most` of the tensor `images`. Throws FileError on another shape.
template <crate::Scalar S>
[[nodiscard]] InputImages<S> read_images(const crate::TensorTable& input,
                                         Index most = std::numeric_limits<Index>::max()) {
  crate::Tensor tensor = input.at("images");
  std::vector<Index>& shape = tensor.shape;
  if (shape.size() != 4 || shape[0] < 1 || shape[1] < 1 || shape[2] < 1 || shape[3] < 1)
    throw crate::tensor_error(tensor, "expected shape [images, channels, height, width], none of them 0, found ",
                              crate::shape_text(shape));
  const std::size_t bytes_per_image = tensor.bytes.size() / static_cast<std::size_t>(shape[0]);
  shape[0] = std::min(most, shape[0]);
  tensor.bytes = tensor.bytes.first(static_cast<std::size_t>(shape[0]) * bytes_per_image);
  InputImages<S> images{shape[2], shape[3], shape[1], crate::Matrix<S>(shape[1] * shape[2] * shape[3], shape[0])};
  crate::copy_values(tensor, std::span<S>(images.pixels.data(), static_cast<std::size_t>(images.pixels.size())));
  return images;
}

}  // namespace image_program
