// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/io/pictures/image_data_set.hpp"
#include "crate/layers/initialise.hpp"

// Where examples come from, and in which order.

namespace crate {

/// Examples by index. `draw` gives them as training sees them, varied by the seed and the epoch alone, `take` as they are.
template <class Source>
concept ExampleSource = requires(const Source& source, std::span<const Index> indices, std::uint64_t seed,
                                 Index epoch) {
  { source.size() } -> std::convertible_to<Index>;
  { source.draw(indices, seed, epoch) } -> std::same_as<typename Source::Examples>;
  { source.take(indices) } -> std::same_as<typename Source::Examples>;
};

/// Images with labels.
template <Scalar S>
struct LabelledImages {
  Matrix<S> images;           ///< (C H W) x B
  std::vector<Index> labels;  ///< B
};

/// The images of a data set, which must outlive this.
template <Scalar S>
struct ImageSource {
  using Examples = LabelledImages<S>;

  const ImageDataSet& data;
  ImageNormalisation normalisation;
  ImageAugmentation augmentation = {};

  [[nodiscard]] Index size() const { return data.size(); }

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

/// The order in which an epoch = 0, 1, ... goes through `size` examples: a permutation that depends on these three alone.
[[nodiscard]] inline std::vector<Index> epoch_order(Index size, std::uint64_t seed, Index epoch) {
  std::vector<Index> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), Index{0});
  Random random(seed, detail::stream_of_name("order") + static_cast<std::uint64_t>(epoch));
  for (Index i = size - 1; i > 0; --i)
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(random.below(i + 1))]);
  return order;
}

}  // namespace crate
