// SPDX-License-Identifier: MIT
// The bodies of patches.hpp.

namespace crate {

namespace detail {

/// Calls body(image value index, patch value index, run) for every run of values of patch `patch` that is contiguous in
/// a row of the image; consecutive values of a run lie `stride` apart in the patch.
template <class Body>
void for_each_patch_run(const PatchGrid& grid, PatchOrder order, Index patch, const Body& body) {
  const Index top = patch / grid.columns * grid.height, left = patch % grid.columns * grid.width;
  for (Index c = 0; c < grid.channels; ++c)
    for (Index row = 0; row < grid.height; ++row) {
      const Index in_image = (c * grid.image_height() + top + row) * grid.image_width() + left;
      if (order == PatchOrder::channel_row_column)
        body(in_image, (c * grid.height + row) * grid.width, Index{1});
      else
        body(in_image, row * grid.width * grid.channels + c, grid.channels);
    }
}

/// patches.col(b n + i) = patch i of image b. Images are (C H W) x B in the order channel, row, column.
template <class Images, class Patches>
void cut_patches_into(const Images& images, const PatchGrid& grid, PatchOrder order, Patches& patches,
                      Threads& threads) {
  threads.for_each_range(patches.cols(), 16, [&](Index first, Index count, int) {
    for (Index column = first; column < first + count; ++column) {
      const auto* const image = images.col(column / grid.patches()).data();
      auto* const patch = patches.col(column).data();
      for_each_patch_run(grid, order, column % grid.patches(), [&](Index from, Index to, Index stride) {
        for (Index i = 0; i < grid.width; ++i) patch[to + i * stride] = image[from + i];
      });
    }
  });
}

}  // namespace detail

template <class ImagesDerived>
Matrix<typename ImagesDerived::Scalar> cut_patches(const Eigen::MatrixBase<ImagesDerived>& images,
                                                   const PatchGrid& grid, PatchOrder order) {
  grid.check();
  check_size("patches: values of an image", images.rows(), grid.values_per_image());
  const Matrix<typename ImagesDerived::Scalar> pixels = images;
  Matrix<typename ImagesDerived::Scalar> patches(grid.values_per_patch(), grid.patches() * images.cols());
  Threads alone;
  detail::cut_patches_into(pixels, grid, order, patches, alone);
  return patches;
}

template <class PatchesDerived>
Matrix<typename PatchesDerived::Scalar> join_patches(const Eigen::MatrixBase<PatchesDerived>& patches,
                                                     const PatchGrid& grid, PatchOrder order) {
  grid.check();
  check_size("patches: values of a patch", patches.rows(), grid.values_per_patch());
  const Index sets = patches.cols() / grid.patches();
  check_size("patches: number of them in whole images", patches.cols(), sets * grid.patches());
  Matrix<typename PatchesDerived::Scalar> images(grid.values_per_image(), sets);
  for (Index column = 0; column < patches.cols(); ++column)
    detail::for_each_patch_run(grid, order, column % grid.patches(), [&](Index to, Index from, Index stride) {
      for (Index i = 0; i < grid.width; ++i)
        images(to + i, column / grid.patches()) = patches(from + i * stride, column);
    });
  return images;
}

}  // namespace crate
