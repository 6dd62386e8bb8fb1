// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"

namespace crate {

/// How an image is cut into patches: rows x columns patches of height x width pixels of `channels` values.
struct PatchGrid {
  Index rows = 0;
  Index columns = 0;
  Index height = 0;
  Index width = 0;
  Index channels = 0;

  [[nodiscard]] Index patches() const { return rows * columns; }
  [[nodiscard]] Index values_per_patch() const { return height * width * channels; }
  [[nodiscard]] Index image_height() const { return rows * height; }
  [[nodiscard]] Index image_width() const { return columns * width; }
  [[nodiscard]] Index values_per_image() const { return patches() * values_per_patch(); }

  /// Throws ShapeError unless there is at least one patch of at least one value, and no more than can be counted.
  void check() const {
    if (std::min({rows, columns, height, width, channels}) < 1)
      throw ShapeError(concatenate("patches: expected sizes of at least 1, found ", rows, " x ", columns,
                                   " patches of ", height, " x ", width, " x ", channels));
    Index values = 1;
    for (const Index size : {rows, columns, height, width, channels})
      values = checked_product("patches: values of an image", values, size);
  }
};

/// In which order the values of a patch stand in its column.
enum class PatchOrder {
  row_column_channel,  ///< the channel fastest: the published classifier, and what the masked autoencoder predicts
  channel_row_column   ///< the column fastest: the kernel of a convolution
};

/// The patches of images as tokens: patch i of image b is column b n + i of the result, n = grid.patches(), patches row
/// by row. Images are (C H W) x B, a column an image in the order channel, row, column.
/// Throws ShapeError on a grid without patches and unless the images have its size.
template <class ImagesDerived>
[[nodiscard]] Matrix<typename ImagesDerived::Scalar> cut_patches(const Eigen::MatrixBase<ImagesDerived>& images,
                                                                 const PatchGrid& grid, PatchOrder order);

/// The inverse of cut_patches.
/// Throws ShapeError on a grid without patches and unless there are whole images of patches.
template <class PatchesDerived>
[[nodiscard]] Matrix<typename PatchesDerived::Scalar> join_patches(const Eigen::MatrixBase<PatchesDerived>& patches,
                                                                   const PatchGrid& grid, PatchOrder order);

}  // namespace crate

#include "crate/operators/detail/patches.ipp"
