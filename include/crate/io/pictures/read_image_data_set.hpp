// SPDX-License-Identifier: MIT
// Needs libpng, libjpeg and zlib (Debian: libpng-dev, libjpeg-dev, zlib1g-dev), beside Eigen.
#pragma once

#include <filesystem>

#include "crate/core/threads.hpp"
#include "crate/io/pictures/cifar.hpp"
#include "crate/io/pictures/idx.hpp"
#include "crate/io/pictures/image_data_set_kind.hpp"
#include "crate/io/pictures/image_folders.hpp"

namespace crate {

/// The data set in a folder, of whichever kind it is. `pictures` says how those in folders are read; images of other
/// kinds are as they are, all of them or the first `most` >= 1 of both parts. Throws as find_image_data_set_kind and
/// the reader of the kind.
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
