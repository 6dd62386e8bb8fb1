// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "crate/core/requirements.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define CRATE_MULTIPLIES_WITHOUT_CARRY 1
#include <emmintrin.h>
#include <wmmintrin.h>
#endif

namespace crate::detail {

using Crc32Tables = std::array<std::array<std::uint32_t, 256>, 16>;

/// tables[k][b]: the contribution of byte b to the checksum after k more zero bytes.
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

/// Continues a checksum, not yet inverted, with these bytes, sixteen per step.
[[nodiscard]] inline std::uint32_t continue_crc32(std::uint32_t rest, std::span<const std::byte> bytes) {
  const Crc32Tables& t = crc32_tables;
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
  return rest;
}

#ifdef CRATE_MULTIPLIES_WITHOUT_CARRY
// The bytes are a polynomial over GF(2), and the checksum is its remainder. A carry-less product with the remainder of
// x^n shifts 64 of its bits by n places, so that the polynomial can be folded onto its end.
// V. Gopal et al., Fast CRC computation for generic polynomials using PCLMULQDQ, 2009.

/// The remainder of x^n, reflected and doubled.
[[nodiscard]] constexpr long long crc32_power(int n) {
  std::uint32_t rest = 0x80000000U;
  for (int i = 0; i < n; ++i) rest = (rest >> 1U) ^ (rest % 2 * 0xEDB88320U);
  const std::uint64_t doubled = std::uint64_t{rest} << 1U;
  return static_cast<long long>(doubled);
}

/// `next` plus the 16 bytes that are `Distance` bits before it.
template <int Distance>
[[nodiscard, gnu::target("pclmul")]] inline __m128i fold_crc32(__m128i earlier, __m128i next) {
  constexpr long long power_of_first = crc32_power(Distance + 32), power_of_second = crc32_power(Distance - 32);
  const __m128i powers = _mm_set_epi64x(power_of_second, power_of_first);
  const __m128i first = _mm_clmulepi64_si128(earlier, powers, 0x00);
  const __m128i second = _mm_clmulepi64_si128(earlier, powers, 0x11);
  return _mm_xor_si128(_mm_xor_si128(first, second), next);
}

/// continue_crc32 for at least 64 bytes.
[[nodiscard, gnu::target("pclmul")]] inline std::uint32_t continue_crc32_by_folding(std::uint32_t rest,
                                                                                    std::span<const std::byte> bytes) {
  const auto load = [&](std::size_t i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes.data() + 16 * i));
  };
  __m128i a = _mm_xor_si128(load(0), _mm_cvtsi32_si128(static_cast<int>(rest)));
  __m128i b = load(1), c = load(2), d = load(3);
  for (bytes = bytes.subspan(64); bytes.size() >= 64; bytes = bytes.subspan(64)) {
    a = fold_crc32<512>(a, load(0));
    b = fold_crc32<512>(b, load(1));
    c = fold_crc32<512>(c, load(2));
    d = fold_crc32<512>(d, load(3));
  }
  d = fold_crc32<128>(fold_crc32<128>(fold_crc32<128>(a, b), c), d);
  std::array<std::byte, 16> end;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(end.data()), d);
  return continue_crc32(continue_crc32(0, end), bytes);
}
#endif

/// The CRC-32 of zip archives (polynomial 0xEDB88320, reflected) of these bytes after others with the
/// checksum `before`.
[[nodiscard]] inline std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before = 0) {
#ifdef CRATE_MULTIPLIES_WITHOUT_CARRY
  if (bytes.size() >= 64 && __builtin_cpu_supports("pclmul")) return ~continue_crc32_by_folding(~before, bytes);
#endif
  return ~continue_crc32(~before, bytes);
}

}  // namespace crate::detail

#undef CRATE_MULTIPLIES_WITHOUT_CARRY
