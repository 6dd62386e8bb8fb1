// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "crate/core/part.hpp"
#include "crate/io/families.hpp"
#include "crate/io/families/published_names.hpp"
#include "crate/io/families/weights.hpp"
#include "crate/layers/initialise.hpp"

// Weights of any size from their published names alone, equal to those that the reference numbers were computed with.

namespace crate::test {

/// Number i of the stream of a name, in [-1, 1): splitmix64 of the name's FNV-1a hash.
[[nodiscard]] inline double synthetic_number(std::string_view name, std::uint64_t i) {
  std::uint64_t z = crate::detail::stream_of_name(name) + (i + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EB;
  z ^= z >> 31U;
  return static_cast<double>(z >> 40U) / 8388608.0 - 1;
}

/// Element i of the tensor: near 1 for one-dimensional weights, near 0 for other vectors, of unit gain otherwise.
[[nodiscard]] inline double synthetic_element(const std::string& name, std::span<const Index> shape, std::uint64_t i) {
  const double u = synthetic_number(name, i);
  if (shape.size() == 1) return name.ends_with("weight") ? 1 + 0.1 * u : 0.02 * u;
  const Index fan = shape.size() == 4 ? shape[1] * shape[2] * shape[3] : shape.back();
  return u * std::sqrt(3.0 / static_cast<double>(fan));
}

/// Fills every parameter but the position tables of the masked autoencoder.
template <class Model>
void fill_synthetic(Model& model, std::span<const PublishedName> names) {
  for (const Parameter& parameter : list_parameters(model)) {
    const PublishedTensorName published = published_name(names, parameter.name);
    if (published.name == "pos_embed" || published.name == "decoder_pos_embed") continue;
    const auto shape = crate::detail::published_shape(parameter, published.layout, crate::detail::patches_of(model));
    crate::detail::with_numbers(parameter, [&]<class S>(std::span<S> numbers) {
      for (std::size_t i = 0; i < numbers.size(); ++i)
        numbers[i] = static_cast<S>(synthetic_element(published.name, shape, i));
    });
  }
}

/// C H W numbers with unit variance.
[[nodiscard]] inline Matrix<float> synthetic_image(Index size) {
  Matrix<float> image(size, 1);
  for (Index i = 0; i < size; ++i)
    image(i, 0) = static_cast<float>(synthetic_number("image", static_cast<std::uint64_t>(i)) * 1.7320508);
  return image;
}

}  // namespace crate::test
