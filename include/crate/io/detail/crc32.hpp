// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace crate::detail {

using Crc32Tables = std::array<std::array<std::uint32_t, 256>, 16>;

/// tables[k][b]: what byte b leaves in the checksum after k more zero bytes.
[[nodiscard]] constexpr Crc32Tables make_crc32_tables() {
  Crc32Tables tables = {};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t rest = byte;
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1U) ^ (rest % 2 * 0xEDB88320U);
    tables[0][byte] = rest;
  }
  for (std::size_t k = 1; k < tables.size(); ++k)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8U) ^ tables[0][before & 0xFFU];
    }
  return tables;
}

inline constexpr Crc32Tables crc32_tables = make_crc32_tables();

/// The CRC-32 of zip archives (polynomial 0xEDB88320, reflected), sixteen bytes a step.
[[nodiscard]] inline std::uint32_t crc32(std::span<const std::byte> bytes) {
  const Crc32Tables& t = crc32_tables;
  std::uint32_t rest = 0xFFFFFFFFU;
  for (; bytes.size() >= 16; bytes = bytes.subspan(16)) {
    std::array<std::uint32_t, 4> w;
    std::memcpy(w.data(), bytes.data(), sizeof w);
    w[0] ^= rest;
    rest = 0;
    for (std::size_t i = 0; i < 4; ++i)
      rest ^= t[15 - 4 * i][w[i] & 0xFFU] ^ t[14 - 4 * i][w[i] >> 8U & 0xFFU] ^ t[13 - 4 * i][w[i] >> 16U & 0xFFU] ^
              t[12 - 4 * i][w[i] >> 24U];
  }
  for (const std::byte byte : bytes) rest = (rest >> 8U) ^ t[0][(rest ^ static_cast<std::uint32_t>(byte)) & 0xFFU];
  return ~rest;
}

}  // namespace crate::detail
