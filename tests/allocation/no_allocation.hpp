// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>

// Every file of this program includes this before anything of Eigen: Eigen then asks before each allocation whether it
// is allowed, and an assertion that does not hold throws.

namespace crate::test {
[[noreturn, gnu::cold, gnu::noinline]] inline void fail(const char* condition) {
  throw std::logic_error(std::string("Eigen asserts: ") + condition);
}
}  // namespace crate::test

#define EIGEN_RUNTIME_NO_MALLOC
#define eigen_assert(condition) ((condition) ? void() : crate::test::fail(#condition))

#include <Eigen/Core>
#include <cstddef>

namespace crate::test {

/// How many times `operator new` was called. Defined in operator_new_test.cpp.
std::size_t operator_new_calls();

/// Calls `body`; throws std::logic_error if Eigen or `operator new` allocates meanwhile.
template <class Body>
void without_allocations(const Body& body) {
  struct Forbidden {
    Forbidden() { Eigen::internal::set_is_malloc_allowed(false); }
    ~Forbidden() { Eigen::internal::set_is_malloc_allowed(true); }
  };
  const std::size_t before = operator_new_calls();
  {
    const Forbidden forbidden;
    body();
  }
  if (operator_new_calls() != before) throw std::logic_error("operator new was called");
}

}  // namespace crate::test
