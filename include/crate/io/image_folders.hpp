// SPDX-License-Identifier: MIT
// Needs libpng and libjpeg (Debian: libpng-dev, libjpeg-dev), beside Eigen.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "crate/core/threads.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/image.hpp"
#include "crate/io/image_data_set.hpp"
#include "crate/io/resize.hpp"

namespace crate {

/// Whether the name of a file ends like that of a PNG or JPEG picture.
[[nodiscard]] inline bool is_picture(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

namespace detail {

/// What is in a folder and wanted, in order of name. Throws FileError if it cannot be listed.
template <class Wanted>
std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder, const Wanted& wanted) {
  std::vector<std::filesystem::path> found;
  std::error_code failure;
  for (auto entry = std::filesystem::directory_iterator(folder, failure);
       !failure && entry != std::filesystem::directory_iterator(); entry.increment(failure))
    if (wanted(*entry)) found.push_back(entry->path());
  if (failure) throw file_error(folder.string(), "cannot be listed: ", failure.message());
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace detail

/// A folder of folders of pictures, a folder a class, which it names; classes in order of name. Every picture becomes RGB of
/// height x width: scaled so that it just covers that, then cropped in the centre.
/// Throws FileError that names the folder without classes or the class without pictures, or the picture that cannot be
/// read; OptionError unless height and width are positive.
[[nodiscard]] inline ImageDataSet read_image_folders(const std::filesystem::path& folder, Index height, Index width,
                                                     Threads& threads) {
  check_option(height >= 1 && width >= 1, "pictures of at least 1 x 1 pixels", concatenate(height, " x ", width));
  ImageDataSet data{.height = height, .width = width, .channels = 3};
  std::vector<std::filesystem::path> pictures;
  for (const auto& inside : detail::list_folder(folder, [](const auto& entry) { return entry.is_directory(); })) {
    const auto found = detail::list_folder(
        inside, [](const auto& entry) { return entry.is_regular_file() && is_picture(entry.path()); });
    if (found.empty()) throw file_error(inside.string(), "expected PNG or JPEG files in this folder, found none");
    data.labels.insert(data.labels.end(), found.size(), data.classes());
    data.class_names.push_back(inside.filename().string());
    pictures.insert(pictures.end(), found.begin(), found.end());
  }
  if (pictures.empty()) throw file_error(folder.string(), "expected a folder for each class, found none");
  data.pixels.resize(3 * height * width, static_cast<Index>(pictures.size()));
  threads.for_each(data.size(), [&](Index i, int) {
    const Image picture = resize_to_cover(read_image(pictures[static_cast<std::size_t>(i)]), height, width);
    for (Index c = 0; c < 3; ++c)
      for (Index j = 0; j < height * width; ++j)
        data.pixels(c * height * width + j, i) = picture.pixels[static_cast<std::size_t>(3 * j + c)];
  });
  return data;
}

/// Such folders in `train`, and in `test` or `val`. Throws as read_image_folders, and unless both have the same classes.
[[nodiscard]] inline TrainingAndTest read_image_folders_split(const std::filesystem::path& folder, Index height,
                                                              Index width, Threads& threads) {
  const std::filesystem::path test = folder / (std::filesystem::exists(folder / "test") ? "test" : "val");
  TrainingAndTest sets{read_image_folders(folder / "train", height, width, threads),
                       read_image_folders(test, height, width, threads)};
  if (sets.test.class_names != sets.training.class_names)
    throw file_error(test.string(), "expected folders for the same ", sets.training.classes(),
                     " classes as for training, found others");
  return sets;
}

}  // namespace crate
