// SPDX-License-Identifier: MIT
#include "crate/io/formats/detail/crc32.hpp"

#include <string>

#include "catch.hpp"

namespace {

using crate::detail::crc32;

/// Bit by bit, from the definition.
std::uint32_t slow_crc32(std::span<const std::byte> bytes) {
  std::uint32_t rest = 0xFFFFFFFFU;
  for (const std::byte byte : bytes) {
    rest ^= static_cast<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1U) ^ (rest % 2 != 0 ? 0xEDB88320U : 0);
  }
  return ~rest;
}

TEST_CASE("the checksum of the standard's example is the standard's") {
  const std::string digits = "123456789";
  CHECK(crc32(std::as_bytes(std::span(digits))) == 0xCBF43926U);
  CHECK(crc32({}) == 0);
}

TEST_CASE("checksums of all lengths and alignments follow the definition, in both ways of computing them") {
  std::string text;
  for (int i = 0; i < 700; ++i) text += static_cast<char>(i * i / 7 + i);
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  for (std::size_t begin = 0; begin < 3; ++begin)
    for (std::size_t size = 0; size < bytes.size() - begin; ++size) {
      const std::span<const std::byte> part = bytes.subspan(begin, size);
      CAPTURE(begin, size);
      REQUIRE(crc32(part) == slow_crc32(part));
      REQUIRE(~crate::detail::continue_crc32(0xFFFFFFFFU, part) == slow_crc32(part));
    }
}

TEST_CASE("the checksum of bytes goes on from that of the bytes before them") {
  const std::string text(1000, 'x');
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  for (const std::size_t first : {0U, 1U, 63U, 64U, 500U, 1000U})
    CHECK(crc32(bytes.subspan(first), crc32(bytes.first(first))) == crc32(bytes));
}

}  // namespace
