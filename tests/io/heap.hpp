// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

// What this test program takes from the heap, to bound what a hostile file can make a reader take.

namespace crate::test {

inline std::size_t heap_now = 0;   // bytes
inline std::size_t heap_peak = 0;  // bytes

/// The most that the call takes from the heap at a time, in bytes.
template <class Call>
[[nodiscard]] std::size_t heap_use(const Call& call) {
  const std::size_t before = heap_now;
  heap_peak = heap_now;
  call();
  return heap_peak - before;
}

}  // namespace crate::test
