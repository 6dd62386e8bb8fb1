// SPDX-License-Identifier: MIT
// Needs libpng, libjpeg and zlib (Debian: libpng-dev, libjpeg-dev, zlib1g-dev), in addition to Eigen.
#pragma once

#include <filesystem>

#include "crate/core/threads.hpp"
#include "crate/io/pictures/cifar.hpp"
#include "crate/io/pictures/idx.hpp"
#include "crate/io/pictures/image_data_set_kind.hpp"
#include "crate/io/pictures/image_folders.hpp"

namespace crate {

/// Reads the data set in a folder, of any kind. `pictures` applies to folders of pictures only; images of other kinds
/// keep their size, and both parts are read whole, or their first `most` >= 1 images. Throws as
/// find_image_data_set_kind and the reader of the kind.
[[nodiscard]] inline ImageFoldersSplit read_image_data_set(const std::filesystem::path& folder,
                                                           const ImageFolderOptions& pictures, Threads& threads,
                                                           Index most = all_images) {
  switch (find_image_data_set_kind(folder)) {
    case ImageDataSetKind::idx:
      return {read_idx_folder(folder, most)};
    case ImageDataSetKind::cifar10:
      return {read_cifar10_folder(folder, most)};
    case ImageDataSetKind::cifar100:
      return {read_cifar100_folder(folder, Cifar100Labels::fine, most)};
    case ImageDataSetKind::picture_folders:
      break;
  }
  return read_image_folders_split(folder, pictures, threads);
}

}  // namespace crate
