// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "crate/core/matrix.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace crate {

namespace detail {

#if defined(__linux__)
/// madvise on the pages that hold any of these bytes.
inline void advise_pages(void* begin, std::size_t bytes, int advice) {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t before = reinterpret_cast<std::uintptr_t>(begin) % page;
  ::madvise(static_cast<std::byte*>(begin) - before, before + bytes, advice);
}
#endif

}  // namespace detail

/// Asks the system for pages of 2 MiB where these bytes fill such, if they are many: large matrices are then read
/// faster than in pages of 4 KiB, by a tenth to a quarter. Of use before the first touch. Where the system cannot,
/// nothing happens.
inline void ask_for_huge_pages([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::size_t worthwhile = std::size_t{1} << 21U;
  if (bytes >= worthwhile) detail::advise_pages(begin, bytes, MADV_HUGEPAGE);
#endif
}

/// Asks the system for the memory that these bytes lie in, all of it at once and not page by page at the first touch of
/// each: that is a third to a half of the time that it takes to make or load a large model. The bytes stay as they are.
/// Where the system cannot (Linux before 5.14), nothing happens.
inline void populate_pages([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_POPULATE_WRITE)
  constexpr std::size_t worthwhile = std::size_t{1} << 18U;
  if (bytes >= worthwhile) detail::advise_pages(begin, bytes, MADV_POPULATE_WRITE);
#endif
}

/// populate_pages, in pages of 2 MiB if the bytes are many.
inline void provide_pages(void* begin, std::size_t bytes) {
  ask_for_huge_pages(begin, bytes);
  populate_pages(begin, bytes);
}

/// parameter = 0, rows x cols; for parameters, which may be large.
template <class Parameter>
void set_zero(Parameter& parameter, Index rows, Index cols) {
  parameter.resize(rows, cols);
  provide_pages(parameter.data(), static_cast<std::size_t>(parameter.size()) * sizeof(typename Parameter::Scalar));
  parameter.setZero();
}

}  // namespace crate
