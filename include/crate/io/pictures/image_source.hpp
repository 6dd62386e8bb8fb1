// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "crate/core/detail/fingerprint.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/image_preprocessing.hpp"
#include "crate/models/labelled_images.hpp"

namespace crate {

/// The images of a data set, which must outlive this, as examples of a training (an ExampleSource).
template <Scalar S>
struct ImageSource {
  using Examples = LabelledImages<S>;

  const ImageDataSet& data;
  ImageNormalisation normalisation;
  ImageAugmentation augmentation = {};

  [[nodiscard]] Index size() const { return data.size(); }

  /// By which other images or labels are noticed.
  [[nodiscard]] std::uint64_t fingerprint() const {
    const std::uint8_t* const pixels = data.pixels.data();
    return detail::fingerprint(std::span<const Index>(data.labels),
                               detail::fingerprint(std::span(pixels, static_cast<std::size_t>(data.pixels.size()))));
  }

  [[nodiscard]] Examples draw(std::span<const Index> indices, std::uint64_t seed, Index epoch) const {
    if (augmentation.padding == 0 && !augmentation.flip) return take(indices);
    const std::uint64_t stream = detail::stream_of_name("augmentation") + static_cast<std::uint64_t>(epoch);
    return {augmented_images<S>(data, indices, normalisation, augmentation, seed, stream), labels_of(indices)};
  }

  [[nodiscard]] Examples take(std::span<const Index> indices) const {
    return {normalised_images<S>(data, indices, normalisation), labels_of(indices)};
  }

 private:
  [[nodiscard]] std::vector<Index> labels_of(std::span<const Index> indices) const {
    std::vector<Index> labels;
    labels.reserve(indices.size());
    for (const Index i : indices) labels.push_back(data.labels[static_cast<std::size_t>(i)]);
    return labels;
  }
};

}  // namespace crate
