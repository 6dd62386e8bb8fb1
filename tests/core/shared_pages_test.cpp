// SPDX-License-Identifier: MIT

#include "crate/core/shared_pages.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/packed_weights.hpp"

using crate::detail::SharedPages;

namespace {

constexpr std::size_t small = std::size_t{1} << 16U, page = std::size_t{1} << 21U, block_bytes = 16 * page;

std::uintptr_t address(const std::shared_ptr<std::byte>& piece) {
  return reinterpret_cast<std::uintptr_t>(piece.get());
}

/// Whether both are freed together.
bool share_a_block(const std::shared_ptr<std::byte>& a, const std::shared_ptr<std::byte>& b) {
  return !a.owner_before(b) && !b.owner_before(a);
}

/// Under AddressSanitizer each piece is an allocation of its own.
bool pieces_are_apart() {
  SharedPages pages;
  return !share_a_block(pages.take(small), pages.take(small));
}

}  // namespace

TEST_CASE("pieces of shared pages follow each other, each on a cache line") {
  if (pieces_are_apart()) return;
  SharedPages pages;
  const auto first = pages.take(small + 1), second = pages.take(small + 100), third = pages.take(small);
  CHECK(address(first) % page == 0);
  CHECK(address(second) == address(first) + small + 64);
  CHECK(address(third) == address(second) + small + 128);
}

TEST_CASE("a piece of shared pages that does not fit begins a block, and the one before goes on") {
  if (pieces_are_apart()) return;
  constexpr std::size_t large = block_bytes - 64;
  SharedPages pages;
  const auto first = pages.take(small), second = pages.take(small);
  const auto piece = pages.take(large);
  std::memset(piece.get(), 1, large);
  CHECK(address(piece) % page == 0);
  CHECK(address(pages.take(small)) == address(second) + small);
}

TEST_CASE("pieces of shared pages that are small or larger than a block share none") {
  SharedPages pages;
  const auto large = pages.take(block_bytes + 1), shared = pages.take(small), few = pages.take(small - 1);
  std::memset(large.get(), 1, block_bytes + 1);
  std::memset(few.get(), 1, small - 1);
  CHECK(address(large) % (pieces_are_apart() ? 64 : page) == 0);
  CHECK(address(few) % 64 == 0);
  CHECK_FALSE(share_a_block(large, shared));
  CHECK_FALSE(share_a_block(few, shared));
  CHECK(pages.take(0) == nullptr);
}

TEST_CASE("pieces of shared pages stay as they are when others are freed, and with the last the block is") {
  SharedPages pages;
  std::weak_ptr<std::byte> block;
  {
    auto first = pages.take(small);
    const auto second = pages.take(small);
    block = second;
    std::memset(second.get(), 7, small);
    first.reset();
    std::memset(pages.take(small).get(), 9, small);
    CHECK(second.get()[small - 1] == std::byte{7});
  }
  CHECK(block.expired());
  CHECK(pages.take(small) != nullptr);
}

TEST_CASE("threads take pieces of shared pages that do not overlap") {
  constexpr crate::Index pieces = 200;
  SharedPages pages;
  std::vector<std::shared_ptr<std::byte>> taken(pieces);
  crate::Threads threads(3);
  threads.for_each(pieces, [&](crate::Index i, int) {
    auto& piece = taken[static_cast<std::size_t>(i)];
    piece = pages.take(small);
    std::memset(piece.get(), static_cast<int>(i), small);
  });
  for (std::size_t i = 0; i < taken.size(); ++i)
    CHECK(std::count(taken[i].get(), taken[i].get() + small, static_cast<std::byte>(i)) == small);
}

TEST_CASE("a copy of packed weights outlives the original, which holds nothing once moved from") {
  using crate::detail::PackedWeights;
  const crate::Matrix<float> ones = crate::Matrix<float>::Ones(200, 100);
  auto original = std::make_unique<PackedWeights<float>>(ones);
  PackedWeights<float> copy = *original;
  original.reset();
  const PackedWeights<float> other(2 * ones);
  CHECK(copy.panel(0)[copy.panel_rows() * copy.depth() - 1] == 1);
  const std::size_t bytes = copy.bytes_held();
  CHECK(bytes >= 200 * 100 * sizeof(float));
  const PackedWeights<float> moved = std::move(copy);
  CHECK(moved.bytes_held() == bytes);
  CHECK(copy.bytes_held() == 0);
  CHECK(PackedWeights<float>(crate::Matrix<float>(0, 3)).bytes_held() == 0);
}
