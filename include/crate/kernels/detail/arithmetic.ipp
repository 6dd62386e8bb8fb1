// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// sums += rows * number; on x86 with fused multiply-adds rounded once, whatever the compiler's optimisation.
template <class V>
[[gnu::always_inline]] inline void add_product(V& sums, const V& rows, ElementOf<V> number) {
#if defined(CRATE_KERNELS_X86) && CRATE_TARGET_BYTES == 64
  if constexpr (std::same_as<V, Simd<float>>)
    sums = same_bits<V>(_mm512_fmadd_ps(same_bits<__m512>(rows), _mm512_set1_ps(number), same_bits<__m512>(sums)));
  else
    sums = same_bits<V>(_mm512_fmadd_pd(same_bits<__m512d>(rows), _mm512_set1_pd(number), same_bits<__m512d>(sums)));
#elif defined(CRATE_KERNELS_X86) && CRATE_TARGET_BYTES == 32
  if constexpr (std::same_as<V, Simd<float>>)
    sums = same_bits<V>(_mm256_fmadd_ps(same_bits<__m256>(rows), _mm256_set1_ps(number), same_bits<__m256>(sums)));
  else
    sums = same_bits<V>(_mm256_fmadd_pd(same_bits<__m256d>(rows), _mm256_set1_pd(number), same_bits<__m256d>(sums)));
#else
  sums += rows * number;
#endif
}

/// How the micro-kernel multiplies: what it takes of a row (Unit) and of a column (Column) in one step along the depth,
/// and how a vector of rows adds the products up. In float and double a step takes one number.
template <class W>
struct Arithmetic {
  using Scalar = W;
  using Unit = W;
  using Column = W;
  using Sums = Simd<Scalar>;
  using Units = Simd<Unit>;

  [[gnu::always_inline]] static void multiply_add(Sums& sums, const Units& rows, Column number) {
    add_product(sums, rows, number);
  }
};

#if defined(CRATE_KERNELS_X86) && CRATE_TARGET_BYTES == 64
/// Of bfloat16 a step takes two neighbours, the first in the lower half of the unit, by the processor's own
/// instruction; products and sums are floats. For InstructionSet::avx512_bfloat16 alone.
template <>
struct Arithmetic<bfloat16> {
  using Scalar = float;
  using Unit = BfloatPair;
  using Column = BfloatPair;
  using Sums = Simd<float>;
  using Units = Simd<Unit>;

  [[gnu::always_inline]] static void multiply_add(Sums& sums, const Units& rows, Column number) {
    const auto pair = _mm512_set1_epi32(static_cast<int>(number));
    sums = same_bits<Sums>(
        _mm512_dpbf16_ps(same_bits<__m512>(sums), same_bits<__m512bh>(rows), same_bits<__m512bh>(pair)));
  }
};
#endif

/// The nearest bfloat16 of every float, ties to even, in the lower halves.
[[gnu::always_inline]] inline Simd<std::uint32_t> rounded_to_bfloat16(const Simd<float>& numbers) {
  using Bits = Simd<std::uint32_t>;
  const Bits bits = same_bits<Bits>(numbers);
  const Bits rounded = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U;
  return (bits & 0x7FFFFFFFU) > 0x7F800000U ? Bits{} + 0x7FC0U : rounded;  // not a number stays one
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
