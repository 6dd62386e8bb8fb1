// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "crate/inference/bfloat16.hpp"
#include "crate/inference/kernels/simd.hpp"

namespace crate::detail {

/// How the micro-kernel multiplies: what it takes of a row and of a column in one step along the depth, and how a vector of rows adds
/// the products up. In float and double a step takes one number.
template <FoldedWeight W, int bytes = native_vector_bytes>
struct Arithmetic {
  using Scalar = W;
  using Unit = W;
  static constexpr Index values_per_unit = 1;
  using Sums = Simd<Scalar, bytes>;
  using Factors = Simd<Unit, bytes>;

  [[gnu::always_inline]] static void multiply_add(Sums& sums, const Factors& rows, Unit column) {
    sums += rows * column;
  }
};

/// In bfloat16 a step takes two neighbours, the first in the lower half of the unit; products and sums are floats.
template <int bytes>
struct Arithmetic<bfloat16, bytes> {
  using Scalar = float;
  using Unit = std::uint32_t;
  static constexpr Index values_per_unit = 2;
  using Sums = Simd<float, bytes>;
  using Factors = Simd<Unit, bytes>;

  [[gnu::always_inline]] static void multiply_add(Sums& sums, const Factors& rows, Unit column) {
#if defined(__AVX512BF16__)
    if constexpr (bytes == 64) {
      const auto pair = _mm512_set1_epi32(static_cast<int>(column));
      sums = std::bit_cast<Sums>(
          _mm512_dpbf16_ps(std::bit_cast<__m512>(sums), std::bit_cast<__m512bh>(rows), std::bit_cast<__m512bh>(pair)));
      return;
    }
#endif
    constexpr Unit upper = 0xFFFF0000;
    sums += std::bit_cast<Sums>(rows & upper) * std::bit_cast<float>(column & upper);
    sums += std::bit_cast<Sums>(rows << 16U) * std::bit_cast<float>(column << 16U);
  }
};

/// The nearest bfloat16 of every float, ties to even, in the lower halves.
template <int bytes>
[[gnu::always_inline]] inline Simd<std::uint32_t, bytes> rounded_to_bfloat16(const Simd<float, bytes>& numbers) {
  using Bits = Simd<std::uint32_t, bytes>;
  const Bits bits = std::bit_cast<Bits>(numbers);
  const Bits rounded = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U;
  return (bits & 0x7FFFFFFFU) > 0x7F800000U ? Bits{} + 0x7FC0U : rounded;  // not a number stays one
}

/// How many registers of sums a tile is wide, and how many columns: as many as the register file holds beside the operands.
template <int bytes>
struct TileShape {
  static constexpr int vectors = bytes == 64 ? 3 : 2;
  static constexpr int columns = bytes == 64 ? 8 : bytes == 32 ? 6 : 4;
};

}  // namespace crate::detail
