// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "crate/augmentation/image_augmentation.hpp"
#include "crate/augmentation/image_planes.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/threads.hpp"
#include "crate/io/formats/pixels.hpp"
#include "crate/models/image_preprocessing.hpp"

namespace crate {

/// Images that are read each time they are needed.
struct ImagesInFiles {
  /// Writes the C H W pixels of an image. Threads call it at the same time. Throws FileError that names the file.
  std::function<void(Index image, std::uint8_t* pixels)> read;
  std::uint64_t fingerprint = 0;  ///< to detect different images
};

/// Pictures of one size with the class of each, in memory or in files.
struct ImageDataSet {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  /// (C H W) x count: one column per image, in the order channel, row, column; empty if the images are in files.
  Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic> pixels = {};
  std::vector<Index> labels = {};             ///< of each image, 0, ..., classes - 1
  std::vector<std::string> class_names = {};  ///< of each class
  std::optional<ImagesInFiles> files = {};    ///< none if the pixels are in memory

  [[nodiscard]] Index size() const { return files ? std::ssize(labels) : pixels.cols(); }
  [[nodiscard]] Index classes() const { return static_cast<Index>(class_names.size()); }
  [[nodiscard]] Index values_per_image() const { return channels * height * width; }

  /// The pixels of an image, in the order channel, row, column: in `pixels`, or else in `memory`, which they are read
  /// into. Throws as ImagesInFiles::read.
  [[nodiscard]] const std::uint8_t* image(Index i, std::vector<std::uint8_t>& memory) const {
    if (!files) return pixels.col(i).data();
    memory.resize(static_cast<std::size_t>(values_per_image()));
    files->read(i, memory.data());
    return memory.data();
  }

  /// Throws ShapeError unless sizes and labels agree.
  void check() const {
    if (!files) check_size("image data set: values of an image", pixels.rows(), values_per_image());
    check_size("image data set: labels", static_cast<Index>(labels.size()), size());
    for (std::size_t i = 0; i < labels.size(); ++i)
      if (labels[i] < 0 || labels[i] >= classes())
        throw ShapeError(
            concatenate("image data set: label ", i, ": expected 0 to ", classes() - 1, ", found ", labels[i]));
  }
};

/// The default of readers that can read only the first images of a data set.
inline constexpr Index all_images = std::numeric_limits<Index>::max();

/// A training set and a test set.
struct TrainingAndTest {
  ImageDataSet training;
  ImageDataSet test;
};

/// Image `index` as a picture.
[[nodiscard]] inline Image picture_of(const ImageDataSet& data, Index index) {
  const Index plane = data.height * data.width;
  if (!data.files) check_size("image data set: values of an image", data.pixels.rows(), data.values_per_image());
  Image picture{data.height, data.width, data.channels, {}};
  picture.pixels.reserve(static_cast<std::size_t>(data.values_per_image()));
  std::vector<std::uint8_t> memory;
  const std::uint8_t* const pixels = data.image(index, memory);
  for (Index i = 0; i < plane; ++i)
    for (Index c = 0; c < data.channels; ++c) picture.pixels.push_back(pixels[c * plane + i]);
  return picture;
}

/// The images in grey (1 channel) or RGB (3), in memory if they change. Throws ShapeError as with_channels of a
/// picture.
[[nodiscard]] inline ImageDataSet with_channels(ImageDataSet data, Index channels) {
  if (data.channels == channels) return data;
  ImageDataSet result{.height = data.height, .width = data.width, .channels = channels};
  const Index plane = data.height * data.width;
  result.pixels.resize(channels * plane, data.size());
  for (Index i = 0; i < data.size(); ++i) {
    const Image picture = with_channels(picture_of(data, i), channels);
    for (Index j = 0; j < plane; ++j)
      for (Index c = 0; c < channels; ++c)
        result.pixels(c * plane + j, i) = picture.pixels[static_cast<std::size_t>(j * channels + c)];
  }
  result.labels = std::move(data.labels);
  result.class_names = std::move(data.class_names);
  return result;
}

namespace detail {

/// How often each value occurs in each channel of a data set.
[[nodiscard]] inline std::vector<std::array<Index, 256>> channel_histograms(const ImageDataSet& data,
                                                                            Threads& threads) {
  const Index plane = data.height * data.width;
  std::vector<std::vector<std::array<Index, 256>>> of_workers(static_cast<std::size_t>(threads.count()));
  for (auto& histograms : of_workers) histograms.resize(static_cast<std::size_t>(data.channels));
  threads.for_each(data.size(), [&](Index i, int worker) {
    std::vector<std::uint8_t> memory;
    const std::uint8_t* pixel = data.image(i, memory);
    for (std::array<Index, 256>& histogram : of_workers[static_cast<std::size_t>(worker)])
      for (Index j = 0; j < plane; ++j) ++histogram[*pixel++];
  });
  for (std::size_t worker = 1; worker < of_workers.size(); ++worker)
    for (std::size_t c = 0; c < of_workers.front().size(); ++c)
      for (std::size_t value = 0; value < 256; ++value) of_workers[0][c][value] += of_workers[worker][c][value];
  return of_workers.front();
}

}  // namespace detail

/// The mean and standard deviation of each channel over all pixels of a data set. Throws ShapeError on an empty one.
[[nodiscard]] inline ImageNormalisation measure_normalisation(const ImageDataSet& data, Threads& threads) {
  if (data.size() == 0 || data.values_per_image() == 0)
    throw ShapeError(
        concatenate("image data set: expected at least 1 x 1, found ", data.values_per_image(), " x ", data.size()));
  ImageNormalisation result;
  const auto count = static_cast<double>(data.height * data.width) * static_cast<double>(data.size());
  for (const std::array<Index, 256>& histogram : detail::channel_histograms(data, threads)) {
    double sum = 0, squares = 0;
    for (std::size_t value = 0; value < histogram.size(); ++value) {
      const double x = static_cast<double>(value) / 255, many = static_cast<double>(histogram[value]);
      sum += many * x;
      squares += many * x * x;
    }
    const double mean = sum / count;
    result.mean.push_back(mean);
    result.deviation.push_back(std::sqrt(std::max(squares / count - mean * mean, 1e-12)));
  }
  return result;
}

[[nodiscard]] inline ImageNormalisation measure_normalisation(const ImageDataSet& data) {
  Threads alone;
  return measure_normalisation(data, alone);
}

namespace detail {

/// Copies one channel of an image through a view; `values` maps pixel values.
template <Scalar S>
void copy_plane(const std::uint8_t* from, Index height, Index width, const ImageView& view,
                const std::array<S, 256>& values, S* to) {
  for (Index y = 0; y < height; ++y) {
    const Index from_y = y + view.top;
    const bool row_inside = from_y >= 0 && from_y < height;
    for (Index x = 0; x < width; ++x) {
      const Index from_x = (view.mirrored ? width - 1 - x : x) + view.left;
      const bool inside = row_inside && from_x >= 0 && from_x < width;
      to[y * width + x] = values[inside ? from[from_y * width + from_x] : std::uint8_t{0}];
    }
  }
}

template <Scalar S>
void normalise_image(const ImageDataSet& data, Index image, const ImageView& view,
                     const std::vector<std::array<S, 256>>& values, S* to) {
  const Index plane = data.height * data.width;
  std::vector<std::uint8_t> memory;
  const std::uint8_t* const pixels = data.image(image, memory);
  for (Index c = 0; c < data.channels; ++c)
    copy_plane(pixels + c * plane, data.height, data.width, view, values[static_cast<std::size_t>(c)], to + c * plane);
}

template <Scalar S>
std::vector<std::array<S, 256>> normalised_values(const ImageNormalisation& normalisation) {
  std::vector<std::array<S, 256>> values(normalisation.mean.size());
  for (std::size_t c = 0; c < values.size(); ++c)
    for (std::size_t value = 0; value < 256; ++value)
      values[c][value] =
          static_cast<S>((static_cast<double>(value) / 255 - normalisation.mean[c]) / normalisation.deviation[c]);
  return values;
}

}  // namespace detail

/// The images with these indices in a model's input format, (C H W) x indices.
/// Throws OptionError unless the normalisation fits the channels.
template <Scalar S>
[[nodiscard]] Matrix<S> normalised_images(const ImageDataSet& data, std::span<const Index> indices,
                                          const ImageNormalisation& normalisation) {
  normalisation.check(data.channels);
  const auto values = detail::normalised_values<S>(normalisation);
  Matrix<S> images(data.values_per_image(), static_cast<Index>(indices.size()));
  for (Index i = 0; i < images.cols(); ++i)
    detail::normalise_image(data, indices[static_cast<std::size_t>(i)], {}, values, images.col(i).data());
  return images;
}

namespace detail {

/// Image `index` as numbers: pixel values over 255.
[[nodiscard]] inline ImagePlanes planes_of(const ImageDataSet& data, Index index) {
  std::vector<std::uint8_t> memory;
  const Eigen::Map<const Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic>> pixels(
      data.image(index, memory), data.width, data.height * data.channels);
  return {data.height, data.width, data.channels, pixels.cast<float>() / 255.0F};
}

/// Converts a picture to a model's input format.
template <Scalar S>
void normalise_planes(const ImagePlanes& image, const ImageNormalisation& normalisation, S* to) {
  for (Index c = 0; c < image.channels; ++c) {
    const auto of = static_cast<std::size_t>(c);
    Eigen::Map<Matrix<S>>(to + c * image.height * image.width, image.width, image.height).array() =
        (image.plane(c).template cast<S>().array() - static_cast<S>(normalisation.mean[of])) *
        static_cast<S>(1 / normalisation.deviation[of]);
  }
}

inline void check_colours(const ImageDataSet& data, const ImageAugmentation& augmentation) {
  augmentation.check();
  if (augmentation.jitter.probability > 0 || augmentation.grey > 0)
    check_option(data.channels == 1 || data.channels == 3, "1 or 3 channels of images whose colours change",
                 data.channels);
}

/// The number of values of a view.
[[nodiscard]] inline Index view_values(const ImageDataSet& data, const ImageAugmentation& augmentation) {
  if (!augmentation.crop) return data.values_per_image();
  return data.channels * augmentation.crop->height * augmentation.crop->width;
}

}  // namespace detail

/// Several views of the images with these indices, one per augmentation. View v of image i depends only on (seed,
/// stream, i, v), so use a separate stream for each epoch.
/// Throws OptionError unless the normalisation and the augmentations fit the images.
template <Scalar S>
[[nodiscard]] std::vector<Matrix<S>> augmented_views(const ImageDataSet& data, std::span<const Index> indices,
                                                     const ImageNormalisation& normalisation,
                                                     std::span<const ImageAugmentation> augmentations,
                                                     std::uint64_t seed, std::uint64_t stream) {
  normalisation.check(data.channels);
  const auto count = static_cast<Index>(augmentations.size());
  std::vector<Matrix<S>> views;
  for (const ImageAugmentation& augmentation : augmentations) {
    detail::check_colours(data, augmentation);
    views.emplace_back(detail::view_values(data, augmentation), static_cast<Index>(indices.size()));
  }
  for (std::size_t i = 0; i < indices.size(); ++i) {
    const ImagePlanes image = detail::planes_of(data, indices[i]);
    for (std::size_t v = 0; v < views.size(); ++v) {
      const ImageView drawn = draw_view(augmentations[v], data.height, data.width, Random(seed, stream), indices[i],
                                        static_cast<Index>(v), count);
      detail::normalise_planes(seen(image, drawn, augmentations[v]), normalisation,
                               views[v].col(static_cast<Index>(i)).data());
    }
  }
  return views;
}

/// The augmented images with these indices in a model's input format. Random numbers and errors as in augmented_views.
template <Scalar S>
[[nodiscard]] Matrix<S> augmented_images(const ImageDataSet& data, std::span<const Index> indices,
                                         const ImageNormalisation& normalisation, const ImageAugmentation& augmentation,
                                         std::uint64_t seed, std::uint64_t stream) {
  if (!augmentation.moves_alone())
    return std::move(augmented_views<S>(data, indices, normalisation, {&augmentation, 1}, seed, stream).front());
  normalisation.check(data.channels);
  augmentation.check();
  const auto values = detail::normalised_values<S>(normalisation);
  Matrix<S> images(data.values_per_image(), static_cast<Index>(indices.size()));
  for (Index i = 0; i < images.cols(); ++i) {
    const Index image = indices[static_cast<std::size_t>(i)];
    const ImageView view = draw_view(augmentation, data.height, data.width, Random(seed, stream), image);
    detail::normalise_image(data, image, view, values, images.col(i).data());
  }
  return images;
}

}  // namespace crate
