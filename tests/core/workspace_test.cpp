// SPDX-License-Identifier: MIT
#include "crate/core/workspace.hpp"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "catch.hpp"

using crate::Index;
using crate::Workspace;

namespace {

std::atomic<int> allocations = 0;  // by any thread, of what is aligned beyond the default, as the workspace's memory is

template <class Map>
std::uintptr_t address(const Map& map) {
  return reinterpret_cast<std::uintptr_t>(map.data());
}

/// Takes three matrices in two nested frames and returns the first one's address.
std::uintptr_t use(Workspace& workspace, Index rows) {
  Workspace::Frame outer(workspace);
  auto a = outer.matrix<double>(rows, 5);
  a.setConstant(1);
  {
    Workspace::Frame inner(workspace);
    auto b = inner.matrix<float>(rows, 7);
    b.setConstant(2);
  }
  auto c = outer.matrix<float>(rows, 3);
  c.setConstant(3);
  CHECK((a.array() == 1).all());
  return address(a);
}

}  // namespace

void* operator new(std::size_t size, std::align_val_t alignment) {
  ++allocations;
  const auto align = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(align, (size + align - 1) / align * align)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

TEST_CASE("matrices from a workspace are aligned to 64 bytes and have the size asked for") {
  Workspace workspace;
  Workspace::Frame frame(workspace);
  for (const Index rows : {1, 3, 17, 64, 1000}) {
    const auto a = frame.matrix<float>(rows, 3);
    const auto b = frame.matrix<double>(3, rows);
    CHECK(address(a) % 64 == 0);
    CHECK(address(b) % 64 == 0);
    CHECK(a.rows() == rows);
    CHECK(a.cols() == 3);
    CHECK(b.rows() == 3);
    CHECK(b.cols() == rows);
  }
}

TEST_CASE("matrices of one frame do not overlap, however the workspace grows") {
  Workspace workspace;
  Workspace::Frame frame(workspace);
  std::vector<Eigen::Map<crate::Matrix<double>, Eigen::AlignedMax>> matrices;
  for (Index i = 0; i < 20; ++i) {
    matrices.push_back(frame.matrix<double>(i + 1, 2 * i + 1));
    matrices.back().setConstant(static_cast<double>(i));
  }
  for (std::size_t i = 0; i < matrices.size(); ++i) CHECK((matrices[i].array() == static_cast<double>(i)).all());
}

TEST_CASE("a matrix without entries takes no memory from a workspace") {
  Workspace workspace;
  Workspace::Frame frame(workspace);
  const auto empty = frame.matrix<double>(0, 4);
  CHECK(empty.cols() == 4);
  CHECK(workspace.capacity() == 0);
}

TEST_CASE("an inner frame gives its memory back for the next one") {
  Workspace workspace;
  Workspace::Frame outer(workspace);
  auto kept = outer.matrix<double>(10, 10);
  kept.setConstant(7);
  std::uintptr_t first = 0;
  for (int round = 0; round < 3; ++round) {
    Workspace::Frame inner(workspace);
    auto temporary = inner.matrix<double>(20, 20);
    temporary.setConstant(-1);
    if (round == 0) first = address(temporary);
    CHECK(address(temporary) == first);
  }
  CHECK((kept.array() == 7).all());
}

TEST_CASE("a workspace allocates nothing after the first use of a size") {
  Workspace workspace;
  use(workspace, 100);
  const std::size_t capacity = workspace.capacity();
  CHECK(capacity >= 100 * (5 * sizeof(double) + 7 * sizeof(float)));

  const int before = allocations;
  const std::uintptr_t first = use(workspace, 100);
  CHECK(use(workspace, 100) == first);
  CHECK(use(workspace, 50) == first);
  CHECK(allocations == before);
  CHECK(workspace.capacity() == capacity);
}

TEST_CASE("a workspace grows with a larger use and then allocates nothing again") {
  Workspace workspace;
  use(workspace, 10);
  use(workspace, 1000);
  const std::size_t capacity = workspace.capacity();
  const int before = allocations;
  use(workspace, 1000);
  use(workspace, 10);
  CHECK(allocations == before);
  CHECK(workspace.capacity() == capacity);
}

TEST_CASE("what fitted into a workspace once fits in any order") {
  Workspace workspace;
  const auto take = [&](Index first, Index second) {
    Workspace::Frame frame(workspace);
    frame.matrix<double>(first, first).setZero();
    frame.matrix<double>(second, second).setZero();
  };
  take(8, 40);
  const int before = allocations;
  take(40, 8);
  CHECK(allocations == before);
}

TEST_CASE("a frame that was cleared is filled again in the same places, without allocating") {
  Workspace workspace;
  Workspace::Frame frame(workspace);
  const auto fill = [&] {
    frame.clear();
    std::vector<std::uintptr_t> places;
    for (Index i = 1; i <= 20; ++i) places.push_back(address(frame.matrix<double>(i, 2 * i)));
    return places;
  };
  const std::vector<std::uintptr_t> places = fill();
  const int before = allocations;
  CHECK(fill() == places);
  CHECK(allocations == before);
}

TEST_CASE("a moved workspace keeps its memory") {
  Workspace workspace;
  const std::uintptr_t first = (use(workspace, 10), use(workspace, 10));
  Workspace moved = std::move(workspace);
  CHECK(use(moved, 10) == first);
}

TEST_CASE("a workspace of which something is taken cannot be reserved anew") {
  Workspace workspace;
  Workspace::Frame frame(workspace);
  workspace.reserve(100);
  (void)frame.matrix<float>(2, 2);
  CHECK_THROWS_AS(workspace.reserve(1000), crate::Error);
}
