// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/pictures/cifar.hpp"
#include "crate/io/pictures/detail/folder_entries.hpp"
#include "crate/io/pictures/detail/idx_names.hpp"

namespace crate {

/// The format of a data set in a folder, and the function that reads it.
enum class ImageDataSetKind {
  idx,              ///< MNIST and similar data sets: read_idx_folder
  cifar10,          ///< read_cifar10_folder
  cifar100,         ///< read_cifar100_folder
  picture_folders,  ///< `train`, and `test` or `val`, each with one folder per class: read_image_folders_split
};

namespace detail {

/// CIFAR-100's records are one byte longer. If the file's size fits both or neither, its lists of names decide.
[[nodiscard]] inline ImageDataSetKind kind_of_cifar(const std::filesystem::path& folder,
                                                    const std::filesystem::path& records) {
  std::error_code failure;
  const auto bytes = std::filesystem::file_size(records, failure);
  const bool fits10 = !failure && bytes % cifar10_format.record() == 0;
  const bool fits100 = !failure && bytes % cifar100_format(Cifar100Labels::fine).record() == 0;
  const bool named100 = is_file(folder / "fine_label_names.txt") || is_file(folder / "coarse_label_names.txt");
  return (fits10 == fits100 ? named100 : fits100) ? ImageDataSetKind::cifar100 : ImageDataSetKind::cifar10;
}

[[nodiscard]] inline std::optional<ImageDataSetKind> kind_of_folder(const std::filesystem::path& folder) {
  std::filesystem::path cifar;
  bool pictures = false;
  for (const auto& entry : folder_entries(folder)) {
    const std::string name = entry.path().filename().string();
    std::error_code ignored;
    if (parse_idx_name(name)) return ImageDataSetKind::idx;
    if (is_cifar_name(name, cifar_training)) cifar = entry.path();
    if (name == "train" && entry.is_directory(ignored)) pictures = true;
  }
  if (!cifar.empty()) return kind_of_cifar(folder, cifar);
  if (pictures) return ImageDataSetKind::picture_folders;
  return {};
}

/// The content of a folder without a data set.
[[nodiscard]] inline std::string describe_other_folder(const std::filesystem::path& folder) {
  if (is_file(folder / "data_batch_1") || (is_file(folder / "train") && is_file(folder / "meta")))
    return "CIFAR for Python (there is a binary version)";
  for (const auto& entry : folder_entries(folder)) {
    std::error_code failure;
    const std::filesystem::directory_iterator inside(entry.path(), failure);
    if (!failure && kind_of_folder(entry.path()))
      return concatenate("one in its folder ", quote(entry.path().filename().string()));
  }
  return "none of them";
}

}  // namespace detail

/// The kind of the data set in a folder, from the names of its entries; of several the first in the order above.
/// Throws FileError if the folder cannot be listed or has none; if a folder inside it has one, names that.
[[nodiscard]] inline ImageDataSetKind find_image_data_set_kind(const std::filesystem::path& folder) {
  if (const auto kind = detail::kind_of_folder(folder)) return *kind;
  throw file_error(folder.string(),
                   "expected train-images-idx3-ubyte or similar, CIFAR's train*.bin or data_batch*.bin, or "
                   "a folder 'train' of pictures, found ",
                   detail::describe_other_folder(folder));
}

}  // namespace crate
