// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/io/formats/pixels.hpp"
#include "crate/models/image_preprocessing.hpp"

namespace crate {

/// Pictures of one size with the class of each, in memory.
struct ImageDataSet {
  Index height = 0;
  Index width = 0;
  Index channels = 0;
  /// (C H W) x count, a column an image in the order channel, row, column.
  Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic> pixels = {};
  std::vector<Index> labels = {};             ///< of each image, 0, ..., classes - 1
  std::vector<std::string> class_names = {};  ///< of each class

  [[nodiscard]] Index size() const { return pixels.cols(); }
  [[nodiscard]] Index classes() const { return static_cast<Index>(class_names.size()); }

  /// Throws ShapeError unless sizes and labels agree.
  void check() const {
    check_size("image data set: values of an image", pixels.rows(), channels * height * width);
    check_size("image data set: labels", static_cast<Index>(labels.size()), size());
    for (std::size_t i = 0; i < labels.size(); ++i)
      if (labels[i] < 0 || labels[i] >= classes())
        throw ShapeError(
            concatenate("image data set: label ", i, ": expected 0 to ", classes() - 1, ", found ", labels[i]));
  }
};

/// A data set to learn from, and one to be judged by.
struct TrainingAndTest {
  ImageDataSet training;
  ImageDataSet test;
};

/// Image `index` as a picture.
[[nodiscard]] inline Image picture_of(const ImageDataSet& data, Index index) {
  const Index plane = data.height * data.width;
  check_size("image data set: values of an image", data.pixels.rows(), data.channels * plane);
  Image picture{data.height, data.width, data.channels, {}};
  picture.pixels.reserve(static_cast<std::size_t>(data.pixels.rows()));
  for (Index i = 0; i < plane; ++i)
    for (Index c = 0; c < data.channels; ++c) picture.pixels.push_back(data.pixels(c * plane + i, index));
  return picture;
}

/// The same images in grey (1 channel) or RGB (3). Throws ShapeError as with_channels of a picture.
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

/// How pictures are varied while training.
struct ImageAugmentation {
  Index padding =
      0;  ///< the image is moved by up to so many pixels either way, in both directions; what comes in is black
  bool flip = false;  ///< every second image, by chance, is seen in a mirror

  void check() const { check_option(padding >= 0, "padding >= 0", padding); }
};

/// The mean and the deviation of each channel over all pixels of a data set. Throws ShapeError on an empty one.
[[nodiscard]] inline ImageNormalisation measure_normalisation(const ImageDataSet& data) {
  check_not_empty("image data set", data.pixels);
  ImageNormalisation result;
  const Index plane = data.height * data.width;
  const auto count = static_cast<double>(plane) * static_cast<double>(data.size());
  for (Index c = 0; c < data.channels; ++c) {
    std::array<Index, 256> histogram{};
    for (Index i = 0; i < data.size(); ++i)
      for (Index j = 0; j < plane; ++j) ++histogram[data.pixels(c * plane + j, i)];
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

namespace detail {

/// Where an augmented image begins in its padded original, and whether it is mirrored.
struct ImageView {
  Index top = 0, left = 0;  // minus the padding
  bool mirrored = false;
};

inline ImageView draw_view(const ImageAugmentation& augmentation, Random& random) {
  ImageView view;
  view.top = random.below(2 * augmentation.padding + 1) - augmentation.padding;
  view.left = random.below(2 * augmentation.padding + 1) - augmentation.padding;
  view.mirrored = augmentation.flip && random.below(2) == 1;
  return view;
}

/// One channel of an image, seen so; `values` says what each pixel becomes.
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
  for (Index c = 0; c < data.channels; ++c)
    copy_plane(data.pixels.col(image).data() + c * plane, data.height, data.width, view,
               values[static_cast<std::size_t>(c)], to + c * plane);
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

/// The images of these indices as models take them, (C H W) x indices.
/// Throws OptionError unless the normalisation fits the channels.
template <Scalar S>
[[nodiscard]] Matrix<S> normalised_images(const ImageDataSet& data, std::span<const Index> indices,
                                          const ImageNormalisation& normalisation) {
  normalisation.check(data.channels);
  const auto values = detail::normalised_values<S>(normalisation);
  Matrix<S> images(data.pixels.rows(), static_cast<Index>(indices.size()));
  for (Index i = 0; i < images.cols(); ++i)
    detail::normalise_image(data, indices[static_cast<std::size_t>(i)], {}, values, images.col(i).data());
  return images;
}

/// The same, varied: how image i is moved and mirrored depends on (seed, stream, i) alone,
/// so give each epoch its own stream.
template <Scalar S>
[[nodiscard]] Matrix<S> augmented_images(const ImageDataSet& data, std::span<const Index> indices,
                                         const ImageNormalisation& normalisation, const ImageAugmentation& augmentation,
                                         std::uint64_t seed, std::uint64_t stream) {
  constexpr std::uint64_t draws_per_image = 16;
  normalisation.check(data.channels);
  augmentation.check();
  const auto values = detail::normalised_values<S>(normalisation);
  Matrix<S> images(data.pixels.rows(), static_cast<Index>(indices.size()));
  Random random(seed, stream);
  for (Index i = 0; i < images.cols(); ++i) {
    const Index image = indices[static_cast<std::size_t>(i)];
    random.seek(draws_per_image * static_cast<std::uint64_t>(image));
    detail::normalise_image(data, image, detail::draw_view(augmentation, random), values, images.col(i).data());
  }
  return images;
}

}  // namespace crate
