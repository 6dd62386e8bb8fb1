// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/initialise.hpp"

// Where examples come from, and in which order. Users supply sources, such as io/image_source.hpp. Training itself uses
// io/ only to write checkpoints and histories.

namespace crate {

/// Examples by index. `draw` returns them augmented, depending only on the seed and the epoch; `take` returns them
/// unchanged.
template <class Source>
concept ExampleSource = requires(const Source& source, std::span<const Index> indices, std::uint64_t seed,
                                 Index epoch) {
  { source.size() } -> std::convertible_to<Index>;
  { source.draw(indices, seed, epoch) } -> std::same_as<typename Source::Examples>;
  { source.take(indices) } -> std::same_as<typename Source::Examples>;
};

/// The order in which epoch = 0, 1, ... visits `size` examples: a permutation that depends only on these arguments.
[[nodiscard]] inline std::vector<Index> epoch_order(Index size, std::uint64_t seed, Index epoch) {
  std::vector<Index> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), Index{0});
  Random random(seed, detail::stream_of_name("order") + static_cast<std::uint64_t>(epoch));
  for (Index i = size - 1; i > 0; --i)
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(random.below(i + 1))]);
  return order;
}

}  // namespace crate
