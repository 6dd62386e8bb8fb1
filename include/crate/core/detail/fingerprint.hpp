// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace crate::detail {

/// A number by which bytes are told from others: of two that differ by chance it is the same once in 2^64 times. Of
/// more than one piece of memory, each begins with the number of those before.
[[nodiscard]] inline std::uint64_t fingerprint(std::span<const std::byte> bytes, std::uint64_t before = 0) {
  constexpr std::uint64_t factor = 0x9E3779B97F4A7C15;  // odd: 2^64 over the golden ratio
  constexpr int half = 32;
  std::uint64_t mixed = before ^ (bytes.size() * factor);
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, bytes.size() - at < sizeof word ? bytes.size() - at : sizeof word);
    mixed = (mixed ^ word) * factor;
    mixed ^= mixed >> half;
  }
  return mixed;
}

template <class Number>
[[nodiscard]] std::uint64_t fingerprint(std::span<const Number> numbers, std::uint64_t before = 0) {
  return fingerprint(std::as_bytes(numbers), before);
}

}  // namespace crate::detail
