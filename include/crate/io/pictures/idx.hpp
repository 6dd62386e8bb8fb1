// SPDX-License-Identifier: MIT
// Needs zlib (Debian: zlib1g-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/detail/maybe_gzip.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/pictures/detail/idx_names.hpp"
#include "crate/io/pictures/image_data_set.hpp"

// The format of MNIST and Fashion-MNIST: big-endian 32-bit numbers (magic 2051, count, rows, columns) and one byte per
// pixel, row by row; (magic 2049, count) and one byte per label. Files may be compressed with gzip.

namespace crate {

namespace detail {

template <std::size_t count>
std::array<std::uint32_t, count> read_big_endian(MaybeGzip& file, const char* what) {
  std::array<std::byte, 4 * count> bytes{};
  file.read_exactly(bytes, what);
  std::array<std::uint32_t, count> numbers{};
  for (std::size_t i = 0; i < bytes.size(); ++i)
    numbers[i / 4] = (numbers[i / 4] << 8U) | std::to_integer<std::uint32_t>(bytes[i]);
  return numbers;
}

/// Throws FileError, with the kind of the file, unless its header begins with the expected number.
template <std::size_t count>
void check_idx_magic(MaybeGzip& file, const std::array<std::uint32_t, count>& header, std::uint32_t expected,
                     const char* what) {
  if (header[0] == expected) return;
  constexpr std::size_t read_before = 4 * count;
  std::vector<std::byte> beginning(4096);
  for (std::size_t i = 0; i < read_before; ++i)
    beginning[i] = static_cast<std::byte>(header[i / 4] >> (24 - 8 * (i % 4)) & 0xFFU);
  beginning.resize(read_before + file.read(std::span(beginning).subspan(read_before)));
  const std::optional<std::string> known = describe_known_file(beginning);
  throw file_error(file.source(), "expected the magic number ", expected, " of IDX ", what, ", found ", header[0],
                   known ? ": the file is " + *known : "");
}

/// Throws FileError if a file is too small for what its header says, before memory is allocated.
inline void check_idx_size(const MaybeGzip& file, double bytes) {
  if (bytes > static_cast<double>(file.largest_size()))
    throw file_error(file.source(), "expected ", bytes, " bytes, as the header says, found a file too small for them");
}

/// Allocates memory as pixels are read, so that a compressed file cannot cause more than twice its content, or 64 MiB.
inline void read_idx_pixels(MaybeGzip& file, Index count, ImageDataSet& data) {
  constexpr Index at_least = Index{64} << 20U;
  const Index image = data.height * data.width;
  if (image > at_least)
    throw file_error(file.source(), "expected images of at most ", at_least, " pixels, found ", image);
  for (Index done = 0; done < count;) {
    const Index more = std::min(count - done, std::max(done, at_least / image));
    data.pixels.conservativeResize(image, done + more);
    file.read_exactly(
        std::as_writable_bytes(std::span(data.pixels.col(done).data(), static_cast<std::size_t>(image * more))),
        "pixels");
    done += more;
  }
}

/// Reads the size, at most `most` images, and how many the file holds; labels and names stay empty. Later pixels are
/// not read.
inline std::pair<ImageDataSet, Index> read_idx_images(const std::filesystem::path& path, Index most) {
  MaybeGzip file(path);
  const auto header = read_big_endian<4>(file, "IDX header");
  check_idx_magic(file, header, 2051, "images");
  const auto [magic, count, rows, columns] = header;
  if (count == 0 || rows == 0 || columns == 0)
    throw file_error(file.source(), "expected images of at least 1 x 1 pixels, found ", count, " of ", rows, " x ",
                     columns);
  check_idx_size(file, static_cast<double>(count) * rows * columns);
  ImageDataSet data{.height = rows, .width = columns, .channels = 1};
  const Index wanted = std::min(Index{count}, most);
  read_idx_pixels(file, wanted, data);
  if (wanted == Index{count}) file.expect_end("the pixels");
  return {std::move(data), count};
}

/// Reads the labels of all images of a file.
inline std::vector<Index> read_idx_labels(const std::filesystem::path& path, Index images_in_file,
                                          const std::filesystem::path& images) {
  MaybeGzip file(path);
  const auto header = read_big_endian<2>(file, "IDX header");
  check_idx_magic(file, header, 2049, "labels");
  const auto count = header[1];
  if (Index{count} != images_in_file)
    throw file_error(file.source(), "expected ", images_in_file, " labels, as there are images in ",
                     quote(images.string()), ", found ", count);
  check_idx_size(file, count);
  std::vector<std::byte> bytes(count);
  file.read_exactly(bytes, "labels");
  file.expect_end("the labels");
  std::vector<Index> labels(count);
  std::transform(bytes.begin(), bytes.end(), labels.begin(), [](std::byte b) { return std::to_integer<Index>(b); });
  return labels;
}

}  // namespace detail

/// Images and labels from two IDX files: all, or the first `most` >= 1; later pixels are not read.
/// Classes are named by their numbers, up to the largest label in the file.
/// Throws FileError that names the file: a wrong magic number, a header that claims more than the file holds, damaged,
/// missing or surplus bytes, or different numbers of labels and images.
[[nodiscard]] inline ImageDataSet read_idx(const std::filesystem::path& images, const std::filesystem::path& labels,
                                           Index most = all_images) {
  check_option(most >= 1, "at least 1 image to read", most);
  auto [data, images_in_file] = detail::read_idx_images(images, most);
  data.labels = detail::read_idx_labels(labels, images_in_file, images);
  const Index largest = *std::max_element(data.labels.begin(), data.labels.end());
  data.labels.resize(static_cast<std::size_t>(data.size()));
  for (Index c = 0; c <= largest; ++c) data.class_names.push_back(std::to_string(c));
  return data;
}

/// The four files of MNIST or a similar data set in a folder: {train,t10k}-{images-idx3,labels-idx1}-ubyte, each
/// uncompressed or as .gz (the former is preferred). Variants of the names are accepted: train-images.idx3-ubyte,
/// capitals, "test" for "t10k", a common prefix (emnist-balanced-train-...), and a folder of the name of the file
/// around it. Both parts are read whole, or their first `most` images. Throws as read_idx; FileError if one of the four
/// is missing, if there are several data sets, or if the test images have another size or further classes.
[[nodiscard]] inline TrainingAndTest read_idx_folder(const std::filesystem::path& folder, Index most = all_images) {
  const auto files = detail::find_idx_files(folder).paths;
  TrainingAndTest sets{read_idx(files[0], files[1], most), read_idx(files[2], files[3], most)};
  const auto complain = [&](std::string_view what, Index expected, Index found) {
    if (expected != found)
      throw file_error(folder.string(), "test images: expected ", what, " ", expected, ", as for training, found ",
                       found);
  };
  complain("height", sets.training.height, sets.test.height);
  complain("width", sets.training.width, sets.test.width);
  if (sets.test.classes() > sets.training.classes())
    throw file_error(folder.string(), "test labels: expected at most ", sets.training.classes() - 1, ", found ",
                     sets.test.classes() - 1);
  sets.test.class_names = sets.training.class_names;
  return sets;
}

}  // namespace crate
