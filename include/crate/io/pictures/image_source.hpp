// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "crate/augmentation/image_augmentation.hpp"
#include "crate/core/detail/fingerprint.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/image_preprocessing.hpp"
#include "crate/models/image_views.hpp"
#include "crate/models/labelled_images.hpp"

namespace crate {

namespace detail {

[[nodiscard]] inline std::vector<Index> labels_of(const ImageDataSet& data, std::span<const Index> indices) {
  std::vector<Index> labels;
  labels.reserve(indices.size());
  for (const Index i : indices) labels.push_back(data.labels[static_cast<std::size_t>(i)]);
  return labels;
}

/// A fingerprint, to detect different images or labels.
[[nodiscard]] inline std::uint64_t fingerprint_of(const ImageDataSet& data) {
  const std::span<const Index> labels(data.labels);
  if (data.files) return fingerprint(labels, data.files->fingerprint);
  const std::span<const std::uint8_t> pixels(data.pixels.data(), static_cast<std::size_t>(data.pixels.size()));
  return fingerprint(labels, fingerprint(pixels));
}

}  // namespace detail

/// The images of a data set, which must outlive this, as examples of a training (an ExampleSource).
template <Scalar S>
struct ImageSource {
  using Examples = LabelledImages<S>;

  const ImageDataSet& data;
  ImageNormalisation normalisation;
  ImageAugmentation augmentation = {};

  [[nodiscard]] Index size() const { return data.size(); }

  [[nodiscard]] std::uint64_t fingerprint() const { return detail::fingerprint_of(data); }

  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t seed, Index epoch) const {
    if (augmentation.moves_alone() && augmentation.padding == 0 && !augmentation.flip) return take(indices);
    const std::uint64_t stream = detail::stream_of_name("augmentation") + static_cast<std::uint64_t>(epoch);
    return {augmented_images<S>(data, indices, normalisation, augmentation, seed, stream),
            detail::labels_of(data, indices)};
  }

  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    return {normalised_images<S>(data, indices, normalisation), detail::labels_of(data, indices)};
  }
};

/// Views of the images of a data set, which must outlive this, as examples of a training (an ExampleSource): view v has
/// the augmentation `augmentations[v]`.
template <Scalar S>
struct ViewSource {
  using Examples = ImageViews<S>;

  const ImageDataSet& data;
  ImageNormalisation normalisation;
  std::vector<ImageAugmentation> augmentations;

  [[nodiscard]] Index size() const { return data.size(); }

  [[nodiscard]] std::uint64_t fingerprint() const { return detail::fingerprint_of(data); }

  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t seed, Index epoch) const {
    return views(indices, seed, detail::stream_of_name("augmentation") + static_cast<std::uint64_t>(epoch));
  }

  /// Returns the same views of an image at every call.
  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    return views(indices, 0, detail::stream_of_name("views to test"));
  }

 private:
  [[nodiscard]] Examples views(std::span<const Index> indices, std::uint64_t seed, std::uint64_t stream) const {
    return {augmented_views<S>(data, indices, normalisation, augmentations, seed, stream),
            detail::labels_of(data, indices)};
  }
};

}  // namespace crate
