// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "crate/core/part.hpp"
#include "crate/core/random.hpp"

namespace crate {

namespace detail {

/// 64-bit FNV-1a: one stream of random numbers per name.
constexpr std::uint64_t stream_of_name(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

template <class L>
void initialise_parts(L& layer, std::uint64_t seed, const std::string& name) {
  if constexpr (requires(Random & random) { layer.initialise(random); }) {
    Random random(seed, stream_of_name(name));
    layer.initialise(random);
  }
  if constexpr (is_vector_of_parts<L>) {
    for (std::size_t i = 0; i < layer.size(); ++i)
      initialise_parts(layer[i], seed, join_names(name, std::to_string(i)));
  } else if constexpr (is_optional_part<L>) {
    if (layer) initialise_parts(*layer, seed, name);
  } else if constexpr (HasParts<L>) {
    const auto initialise_part = [&](const auto& entry) {
      initialise_parts(entry.of(layer), seed, join_names(name, entry.name));
    };
    for_each_entry(L::parts(), initialise_part);
  }
}

}  // namespace detail

/// Fills every parameter of a layer, block or model with its usual random start: whatever has parameters of its own has
/// a function initialise(Random&) for these. Each draws from a stream of its own, told apart by name, so the numbers
/// depend on the seed and the name alone.
template <class L>
void initialise(L& layer, std::uint64_t seed) {
  detail::initialise_parts(layer, seed, std::string());
}

}  // namespace crate
