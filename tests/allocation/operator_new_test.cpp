// SPDX-License-Identifier: MIT
#include "no_allocation.hpp"
//
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "catch.hpp"

namespace {
std::atomic<std::size_t> calls{0};
}

std::size_t crate::test::operator_new_calls() { return calls; }

// Not inlined, or g++ 12 takes the pair of new and free for a mismatch. All forms that end in the same delete.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++calls;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (void* const memory = operator new(size, std::nothrow)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  ++calls;
  const auto step = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
  throw std::bad_alloc();
}

[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

TEST_CASE("An allocation, of Eigen or by operator new, does not go unseen") {
  CHECK_THROWS_AS(crate::test::without_allocations([] { Eigen::MatrixXd(3, 3).setZero(); }), std::logic_error);
  CHECK_THROWS_AS(crate::test::without_allocations([] { ::operator delete(::operator new(3)); }), std::logic_error);
  struct alignas(64) Line {
    char bytes[64];
  };
  CHECK_THROWS_AS(crate::test::without_allocations([] { std::vector<Line>(1); }), std::logic_error);
  CHECK_NOTHROW(crate::test::without_allocations([] { Eigen::Matrix3d().setZero(); }));
}
