// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "crate/core/detail/fingerprint.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/training/examples.hpp"

// Parts of data sets.

namespace image_program {

using crate::Index;

/// The images with these indices, in this order.
[[nodiscard]] inline crate::ImageDataSet images_at(const crate::ImageDataSet& data, std::vector<Index> indices) {
  crate::ImageDataSet part{.height = data.height, .width = data.width, .channels = data.channels};
  part.labels = crate::detail::labels_of(data, indices);
  part.class_names = data.class_names;
  if (!data.files) {
    part.pixels = data.pixels(Eigen::all, indices);
    return part;
  }
  const std::uint64_t fingerprint =
      crate::detail::fingerprint(std::span<const Index>(indices), data.files->fingerprint);
  part.files = {.read = [read = data.files->read, indices = std::move(indices)](
                            Index i, std::uint8_t* pixels) { read(indices[static_cast<std::size_t>(i)], pixels); },
                .fingerprint = fingerprint};
  return part;
}

/// `count` images, chosen by chance but the same ones every time, in the order of the data. Nothing if these are all:
/// if there are no more, or `count` is 0.
[[nodiscard]] inline std::optional<crate::ImageDataSet> part_of(const crate::ImageDataSet& data, Index count) {
  if (count == 0 || count >= data.size()) return std::nullopt;
  std::vector<Index> chosen = crate::epoch_order(data.size(), 0, 0);
  chosen.resize(static_cast<std::size_t>(count));
  std::sort(chosen.begin(), chosen.end());
  return images_at(data, std::move(chosen));
}

/// Only the images with these ascending indices. Pixels in memory are moved to the front, and not copied.
[[nodiscard]] inline crate::ImageDataSet keep_only(crate::ImageDataSet data, std::vector<Index> indices) {
  if (data.files) return images_at(data, std::move(indices));
  data.labels = crate::detail::labels_of(data, indices);
  for (Index i = 0; i < std::ssize(indices); ++i)
    if (const Index from = indices[static_cast<std::size_t>(i)]; from != i) data.pixels.col(i) = data.pixels.col(from);
  data.pixels.conservativeResize(Eigen::NoChange, std::ssize(indices));
  return data;
}

/// A tenth of at least two images, chosen by chance but the same ones every time, as a test set, and the others to
/// train on; each in the order of the data.
[[nodiscard]] inline crate::TrainingAndTest hold_out_tenth(crate::ImageDataSet data) {
  std::vector<Index> order = crate::epoch_order(data.size(), 0, 0);
  const auto first_kept = order.begin() + std::max<Index>(1, data.size() / 10);
  std::sort(order.begin(), first_kept);
  std::sort(first_kept, order.end());
  crate::ImageDataSet test = images_at(data, {order.begin(), first_kept});
  return {.training = keep_only(std::move(data), {first_kept, order.end()}), .test = std::move(test)};
}

}  // namespace image_program
