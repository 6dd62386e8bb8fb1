// SPDX-License-Identifier: MIT

#include "crate/core/shared_pages.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "crate/core/threads.hpp"

using crate::detail::SharedPages;

namespace {

std::uintptr_t address(const std::shared_ptr<std::byte>& piece) {
  return reinterpret_cast<std::uintptr_t>(piece.get());
}

}  // namespace

TEST_CASE("pieces of shared pages follow each other, each on a cache line") {
  SharedPages pages;
  const auto first = pages.take(1), second = pages.take(100), third = pages.take(64);
  CHECK(address(first) % (std::size_t{1} << 21U) == 0);
  CHECK(address(second) == address(first) + 64);
  CHECK(address(third) == address(second) + 128);
}

TEST_CASE("a piece of shared pages that does not fit begins a block, and the one before goes on") {
  constexpr std::size_t large = (std::size_t{32} << 20U) - 64;
  SharedPages pages;
  const auto first = pages.take(64), second = pages.take(64);
  const auto piece = pages.take(large);
  std::memset(piece.get(), 1, large);
  CHECK(address(piece) % (std::size_t{1} << 21U) == 0);
  CHECK(address(pages.take(64)) == address(second) + 64);
}

TEST_CASE("pieces of shared pages stay as they are when others are freed, and with the last the block is") {
  SharedPages pages;
  std::weak_ptr<std::byte> block;
  {
    auto first = pages.take(64);
    const auto second = pages.take(64);
    block = second;
    std::memset(second.get(), 7, 64);
    first.reset();
    std::memset(pages.take(64).get(), 9, 64);
    CHECK(second.get()[63] == std::byte{7});
  }
  CHECK(block.expired());
  CHECK(pages.take(64) != nullptr);
}

TEST_CASE("threads take pieces of shared pages that do not overlap") {
  constexpr crate::Index pieces = 200;
  SharedPages pages;
  std::vector<std::shared_ptr<std::byte>> taken(pieces);
  crate::Threads threads(3);
  threads.for_each(pieces, [&](crate::Index i, int) {
    auto& piece = taken[static_cast<std::size_t>(i)];
    piece = pages.take(1000);
    std::memset(piece.get(), static_cast<int>(i), 1000);
  });
  for (std::size_t i = 0; i < taken.size(); ++i)
    for (std::size_t k = 0; k < 1000; ++k) REQUIRE(taken[i].get()[k] == static_cast<std::byte>(i));
}
