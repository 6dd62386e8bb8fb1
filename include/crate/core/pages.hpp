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

/// Asks the system for the memory that these bytes lie in, all of it at once and not page by page at the first touch of each:
/// that is a third to a half of the time that it takes to make or load a large model. The bytes stay as they are. Where the
/// system cannot (Linux before 5.14), nothing happens.
inline void provide_pages([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_POPULATE_WRITE)
  constexpr std::size_t worthwhile = std::size_t{1} << 18U;
  if (bytes < worthwhile) return;
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t before = reinterpret_cast<std::uintptr_t>(begin) % page;
  ::madvise(static_cast<std::byte*>(begin) - before, before + bytes, MADV_POPULATE_WRITE);
#endif
}

/// parameter = 0, rows x cols; for parameters, which may be large.
template <class Parameter>
void set_zero(Parameter& parameter, Index rows, Index cols) {
  parameter.resize(rows, cols);
  provide_pages(parameter.data(), static_cast<std::size_t>(parameter.size()) * sizeof(typename Parameter::Scalar));
  parameter.setZero();
}

}  // namespace crate
