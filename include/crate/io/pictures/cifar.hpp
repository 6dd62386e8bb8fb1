// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/formats/text_file.hpp"
#include "crate/io/pictures/detail/folder_entries.hpp"
#include "crate/io/pictures/image_data_set.hpp"

// The binary formats of CIFAR-10 and CIFAR-100: records of labels, one byte each, and the red, green and blue
// values of 32 x 32 pixels, row by row. CIFAR-10 has one label per record, CIFAR-100 two: one of 20 coarse classes
// and one of 100 fine ones.

namespace crate {

/// The labels to read from CIFAR-100.
enum class Cifar100Labels { fine, coarse };

namespace detail {

inline constexpr std::size_t cifar_pixels = 3072;

struct CifarFormat {
  std::size_t labels;  ///< bytes before the pixels
  std::size_t label;   ///< index of the label to read
  Index classes;

  [[nodiscard]] std::size_t record() const { return labels + cifar_pixels; }
};

inline constexpr CifarFormat cifar10_format{.labels = 1, .label = 0, .classes = 10};

[[nodiscard]] constexpr CifarFormat cifar100_format(Cifar100Labels labels) {
  const bool fine = labels == Cifar100Labels::fine;
  return {.labels = 2, .label = fine ? 1U : 0U, .classes = fine ? 100 : 20};
}

/// The number of records. Throws FileError if the last one is incomplete.
inline std::size_t count_cifar_records(const std::filesystem::path& path, std::span<const std::byte> content,
                                       const CifarFormat& format) {
  const std::size_t bytes = content.size();
  if (bytes != 0 && bytes % format.record() == 0) return bytes / format.record();
  const std::size_t other = cifar_pixels + 3 - format.labels;
  const bool is_other = bytes != 0 && bytes % other == 0;
  if (is_other)
    throw file_error(path.string(), "expected records of ", format.record(), " bytes, found ", bytes,
                     " bytes, as of CIFAR-", other == 3074 ? 100 : 10, ", whose records have ", other);
  const std::optional<std::string> known = describe_known_file(content);
  throw file_error(path.string(), "expected records of ", format.record(), " bytes, found ", bytes, " bytes",
                   known ? ": the file is " + *known : "");
}

/// The records of these files, one file after another: all, or the first `most`.
inline ImageDataSet read_cifar(const std::vector<std::filesystem::path>& paths, const CifarFormat& format, Index most) {
  check_option(most >= 1, "at least 1 image to read", most);
  std::vector<FileBytes> files;
  std::size_t count = 0;
  for (const auto& path : paths) count += count_cifar_records(path, files.emplace_back(path).bytes(), format);
  ImageDataSet data{.height = 32, .width = 32, .channels = 3};
  data.pixels.resize(cifar_pixels, std::min(static_cast<Index>(count), most));
  for (Index c = 0; c < format.classes; ++c) data.class_names.push_back(std::to_string(c));
  for (std::size_t f = 0; f < files.size(); ++f)
    for (auto bytes = files[f].bytes(); !bytes.empty() && std::ssize(data.labels) < data.pixels.cols();
         bytes = bytes.subspan(format.record())) {
      const auto label = std::to_integer<Index>(bytes[format.label]);
      const std::size_t from = (files[f].bytes().size() - bytes.size()) / format.record();
      if (label >= format.classes)
        throw file_error(paths[f].string(), "record ", from, ": expected a label from 0 to ", format.classes - 1,
                         ", found ", label);
      std::memcpy(data.pixels.col(static_cast<Index>(data.labels.size())).data(), bytes.data() + format.labels,
                  cifar_pixels);
      data.labels.push_back(label);
    }
  return data;
}

/// Whether a file has the name of CIFAR records, ending in ".bin", with one of these beginnings.
[[nodiscard]] inline bool is_cifar_name(std::string_view name, std::span<const std::string_view> beginnings) {
  return name.ends_with(".bin") && std::any_of(beginnings.begin(), beginnings.end(),
                                               [&](std::string_view beginning) { return name.starts_with(beginning); });
}

inline constexpr std::array<std::string_view, 2> cifar_training{"data_batch", "train"};
inline constexpr std::array<std::string_view, 1> cifar_test{"test"};

/// The files in a folder whose name has one of these beginnings and ends in ".bin", ordered by name.
inline std::vector<std::filesystem::path> find_cifar_files(const std::filesystem::path& folder,
                                                           std::span<const std::string_view> beginnings) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : folder_entries(folder))
    if (is_cifar_name(entry.path().filename().string(), beginnings)) found.push_back(entry.path());
  if (found.empty()) throw file_error(folder.string(), "expected files ", beginnings.front(), "*.bin, found none");
  return found;
}

/// The lines that are not blank, without white space at their ends. If there are more than `count` + 1, the rest is not
/// read. Throws FileError unless there are `count`.
inline std::vector<std::string> read_class_names(const std::filesystem::path& path, Index count) {
  const FileBytes file(path, FileAccess::copy);
  const auto most = static_cast<std::size_t>(count);
  std::vector<std::string> names;
  for (std::string_view text = text_of(file); !text.empty() && names.size() <= most;) {
    const std::string_view line = take_line(text);
    const std::size_t end = line.find_last_not_of(" \t\r");
    if (end != std::string_view::npos) names.emplace_back(line.substr(0, end + 1));
  }
  if (names.size() != most)
    throw file_error(path.string(), "expected the names of ", count, " classes, found ",
                     names.size() > most ? "more" : std::to_string(names.size()));
  return names;
}

inline TrainingAndTest read_cifar_folder(const std::filesystem::path& folder, const CifarFormat& format,
                                         const std::filesystem::path& names, Index most) {
  TrainingAndTest sets{read_cifar(find_cifar_files(folder, cifar_training), format, most),
                       read_cifar(find_cifar_files(folder, cifar_test), format, most)};
  if (path_exists(folder / names))
    sets.training.class_names = sets.test.class_names = read_class_names(folder / names, format.classes);
  return sets;
}

}  // namespace detail

/// The records of these files of CIFAR-10, one file after another: all, or the first `most` >= 1. Classes are named by
/// their numbers, 0 to 9. Throws FileError that names a file with incomplete records, or a label above 9 among those
/// that are read.
[[nodiscard]] inline ImageDataSet read_cifar10(const std::vector<std::filesystem::path>& paths,
                                               Index most = all_images) {
  return detail::read_cifar(paths, detail::cifar10_format, most);
}

/// CIFAR-10 from a folder: data_batch*.bin or train*.bin, and test*.bin; class names from batches.meta.txt if it
/// exists. Both parts are read whole, or their first `most` images. Throws as read_cifar10, and unless there are ten
/// names.
[[nodiscard]] inline TrainingAndTest read_cifar10_folder(const std::filesystem::path& folder, Index most = all_images) {
  return detail::read_cifar_folder(folder, detail::cifar10_format, "batches.meta.txt", most);
}

/// The records of these files of CIFAR-100: all, or the first `most` >= 1. Throws as read_cifar10, on a label above 99,
/// or above 19 for coarse labels.
[[nodiscard]] inline ImageDataSet read_cifar100(const std::vector<std::filesystem::path>& paths,
                                                Cifar100Labels labels = Cifar100Labels::fine, Index most = all_images) {
  return detail::read_cifar(paths, detail::cifar100_format(labels), most);
}

/// CIFAR-100 from a folder: train*.bin and test*.bin; class names from fine_label_names.txt or coarse_label_names.txt
/// if it exists. Both parts are read whole, or their first `most` images. Throws as read_cifar100, and unless there is
/// a name for each class.
[[nodiscard]] inline TrainingAndTest read_cifar100_folder(const std::filesystem::path& folder,
                                                          Cifar100Labels labels = Cifar100Labels::fine,
                                                          Index most = all_images) {
  const bool fine = labels == Cifar100Labels::fine;
  return detail::read_cifar_folder(folder, detail::cifar100_format(labels),
                                   fine ? "fine_label_names.txt" : "coarse_label_names.txt", most);
}

}  // namespace crate
