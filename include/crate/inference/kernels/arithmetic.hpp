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

/// Two neighbours of a token.
struct FloatPair {
  float first, second;
};

/// How the micro-kernel multiplies weights stored as W by tokens kept as Token: what it takes of a row (Unit) and of a column (Column)
/// in one step along the depth, and how a vector of rows adds the products up: in `turns`, each by what factors and number take of them. In
/// float and double a step takes one number.
template <FoldedWeight W, int bytes = native_vector_bytes, class Token = W>
struct Arithmetic {
  using Scalar = W;
  using Unit = W;
  using Column = W;
  static constexpr Index values_per_unit = 1;
  using Sums = Simd<Scalar, bytes>;
  using Units = Simd<Unit, bytes>;

  static constexpr int turns = 1;
  template <int turn>
  [[gnu::always_inline]] static Units factors(const Units& rows) {
    return rows;
  }
  template <int turn>
  [[gnu::always_inline]] static Scalar number(const Column& column) {
    return column;
  }
  [[gnu::always_inline]] static void multiply_add(Sums& sums, const Units& factors, Scalar number) {
    sums += factors * number;
  }
};

/// Of bfloat16 weights a step takes two neighbours, the first in the lower half of the unit; products and sums are floats.
template <int bytes>
struct Arithmetic<bfloat16, bytes, float> {
  using Scalar = float;
  using Unit = std::uint32_t;
  using Column = FloatPair;
  static constexpr Index values_per_unit = 2;
  using Sums = Simd<float, bytes>;
  using Units = Simd<Unit, bytes>;

  static constexpr int turns = 2;
  template <int turn>
  [[gnu::always_inline]] static Sums factors(const Units& rows) {
    return std::bit_cast<Sums>(turn == 0 ? rows << 16U : rows & 0xFFFF0000U);
  }
  template <int turn>
  [[gnu::always_inline]] static float number(const Column& column) {
    return turn == 0 ? column.first : column.second;
  }
  [[gnu::always_inline]] static void multiply_add(Sums& sums, const Sums& factors, float number) {
    sums += factors * number;
  }
};

/// The same for tokens in bfloat16, packed like the weights.
template <int bytes>
struct Arithmetic<bfloat16, bytes, bfloat16> : Arithmetic<bfloat16, bytes, float> {
  using Column = typename Arithmetic<bfloat16, bytes, float>::Unit;

  template <int turn>
  [[gnu::always_inline]] static float number(const Column& column) {
    return std::bit_cast<float>(turn == 0 ? column << 16U : column & 0xFFFF0000U);
  }
};

#if defined(__AVX512BF16__)
/// By the processor's own instruction, both neighbours in one turn.
template <>
struct Arithmetic<bfloat16, 64, bfloat16> : Arithmetic<bfloat16, 64, float> {
  using Column = Unit;

  static constexpr int turns = 1;
  template <int turn>
  [[gnu::always_inline]] static Units factors(const Units& rows) {
    return rows;
  }
  template <int turn>
  [[gnu::always_inline]] static Column number(const Column& column) {
    return column;
  }
  [[gnu::always_inline]] static void multiply_add(Sums& sums, const Units& factors, Column number) {
    const auto pair = _mm512_set1_epi32(static_cast<int>(number));
    sums = std::bit_cast<Sums>(
        _mm512_dpbf16_ps(std::bit_cast<__m512>(sums), std::bit_cast<__m512bh>(factors), std::bit_cast<__m512bh>(pair)));
  }
};
#endif

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
