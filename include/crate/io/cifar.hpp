// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/file_bytes.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/image_data_set.hpp"

// The binary format of CIFAR-10: records of 3073 bytes, a label and the red, green and blue values of 32 x 32 pixels, row by
// row.

namespace crate {

/// All records of these files, one file after another. Classes are named by their numbers, 0 to 9.
/// Throws FileError that names the file: not whole records, or a label above 9.
[[nodiscard]] inline ImageDataSet read_cifar10(const std::vector<std::filesystem::path>& paths) {
  constexpr std::size_t pixels = 3072, record = 1 + pixels;
  std::vector<FileBytes> files;
  std::size_t count = 0;
  for (const auto& path : paths) {
    const std::size_t size = files.emplace_back(path).bytes().size();
    if (size == 0 || size % record != 0)
      throw file_error(path.string(), "expected records of ", record, " bytes, found ", size, " bytes");
    count += size / record;
  }
  ImageDataSet data{.height = 32, .width = 32, .channels = 3};
  data.pixels.resize(pixels, static_cast<Index>(count));
  for (Index c = 0; c < 10; ++c) data.class_names.push_back(std::to_string(c));
  for (std::size_t f = 0; f < files.size(); ++f)
    for (auto bytes = files[f].bytes(); !bytes.empty(); bytes = bytes.subspan(record)) {
      const auto label = std::to_integer<Index>(bytes[0]);
      const std::size_t from = (files[f].bytes().size() - bytes.size()) / record;
      if (label > 9)
        throw file_error(paths[f].string(), "record ", from, ": expected a label from 0 to 9, found ", label);
      std::memcpy(data.pixels.col(static_cast<Index>(data.labels.size())).data(), bytes.data() + 1, pixels);
      data.labels.push_back(label);
    }
  return data;
}

namespace detail {

/// The files in a folder whose name begins with one of these and ends in ".bin", in order of name.
inline std::vector<std::filesystem::path> find_cifar_files(const std::filesystem::path& folder,
                                                           const std::vector<std::string_view>& beginnings) {
  std::vector<std::filesystem::path> found;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    const std::string name = entry.path().filename().string();
    const bool wanted = std::any_of(beginnings.begin(), beginnings.end(),
                                    [&](std::string_view beginning) { return name.starts_with(beginning); });
    if (wanted && name.ends_with(".bin")) found.push_back(entry.path());
  }
  if (failure) throw file_error(folder.string(), "cannot be listed: ", failure.message());
  if (found.empty()) throw file_error(folder.string(), "expected files ", beginnings.front(), "*.bin, found none");
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace detail

/// CIFAR-10 from a folder: data_batch*.bin or train*.bin, and test*.bin; names of the classes from batches.meta.txt if it is
/// there. Throws as read_cifar10, and unless there are ten names.
[[nodiscard]] inline TrainingAndTest read_cifar10_folder(const std::filesystem::path& folder) {
  TrainingAndTest sets{read_cifar10(detail::find_cifar_files(folder, {"data_batch", "train"})),
                       read_cifar10(detail::find_cifar_files(folder, {"test"}))};
  const std::filesystem::path meta = folder / "batches.meta.txt";
  if (!std::filesystem::exists(meta)) return sets;
  std::ifstream file(meta);
  std::vector<std::string> names;
  for (std::string line; names.size() <= 10 && std::getline(file, line);)
    if (!line.empty()) names.push_back(line);
  if (names.size() != 10) throw file_error(meta.string(), "expected the names of 10 classes, found ", names.size());
  sets.training.class_names = sets.test.class_names = names;
  return sets;
}

}  // namespace crate
