// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// The lower half of every lane times a factor: one instruction, which g++ does not find. For 512 bits it is left to
/// g++, whose intrinsic warns there.
[[gnu::always_inline]] inline Simd<std::uint64_t> lower_half_times(const Simd<std::uint64_t>& x, std::uint32_t factor) {
#if defined(__SSE2__) && !defined(__clang__) && CRATE_TARGET_BYTES == 32
  return same_bits<Simd<std::uint64_t>>(_mm256_mul_epu32(same_bits<__m256i>(x), _mm256_set1_epi64x(factor)));
#elif defined(__SSE2__) && !defined(__clang__) && CRATE_TARGET_BYTES == 16
  return same_bits<Simd<std::uint64_t>>(_mm_mul_epu32(same_bits<__m128i>(x), _mm_set1_epi64x(factor)));
#else
  return (x & 0xFFFFFFFFU) * factor;
#endif
}

/// Products of every lane with a factor, their lower and upper halves.
struct WideProducts {
  Simd<std::uint32_t> low, high;
};

[[gnu::always_inline]] inline WideProducts wide_products(const Simd<std::uint32_t>& x, std::uint32_t factor) {
  using Halves = Simd<std::uint32_t>;
  using Wide = Simd<std::uint64_t>;
  constexpr std::uint64_t lower = 0xFFFFFFFF;
  const Wide lanes = same_bits<Wide>(x), even = lower_half_times(lanes, factor),
             odd = lower_half_times(Wide(lanes >> 32U), factor);
  return {same_bits<Halves>(Wide((even & lower) | (odd << 32U))),
          same_bits<Halves>(Wide((even >> 32U) | (odd & ~lower)))};
}

/// The words of crate::philox for counters {first, c1, c2, c3}, {first + 1, c1, c2, c3}, ..., as many as a vector has
/// lanes, one counter's four after the other.
inline void philox_words(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key, std::uint32_t* words) {
  using V = Simd<std::uint32_t>;
  constexpr Index lanes = lanes_of<V>;
  V c0{}, c1 = V{} + counter[1], c2 = V{} + counter[2], c3 = V{} + counter[3];
  for (Index i = 0; i < lanes; ++i) c0[i] = counter[0] + static_cast<std::uint32_t>(i);
  for (int round = 0; round < 10; ++round) {
    const auto [first_low, first_high] = wide_products(c0, 0xD2511F53);
    const auto [second_low, second_high] = wide_products(c2, 0xCD9E8D57);
    c0 = second_high ^ c1 ^ key[0];
    c2 = first_high ^ c3 ^ key[1];
    c1 = second_low;
    c3 = first_low;
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  const V even[2] = {interleaved<false>(c0, c2), interleaved<true>(c0, c2)};
  const V odd[2] = {interleaved<false>(c1, c3), interleaved<true>(c1, c3)};
  unrolled<2>([&](auto half) __attribute__((always_inline)) {
    store(interleaved<false>(even[half], odd[half]), words + 2 * half * lanes);
    store(interleaved<true>(even[half], odd[half]), words + (2 * half + 1) * lanes);
  });
}

/// x where all bits of the mask are set, 0 where none is.
template <class V, class Mask>
[[gnu::always_inline]] inline V masked(const V& x, const Mask& mask) {
  return same_bits<V>(Mask(same_bits<Mask>(x) & mask));
}

/// Dropout of as many numbers as a vector of words has lanes.
template <Scalar S>
[[gnu::always_inline]] inline void drop_vector(const std::uint32_t* words, std::uint32_t threshold, S kept,
                                               S* numbers) {
  using V = Simd<S>;
  const Simd<std::int32_t> mask = load<Simd<std::uint32_t>>(words) >= threshold;
  if constexpr (sizeof(S) == sizeof(std::uint32_t))
    store(masked(V(load<V>(numbers) * kept), mask), numbers);
  else
    unrolled<2>([&](auto half) __attribute__((always_inline)) {
      S* const of_half = numbers + half * lanes_of<V>;
      store(masked(V(load<V>(of_half) * kept), interleaved<half != 0>(mask, mask)), of_half);
    });
}

/// Dropout of neighbouring numbers, for which a dropout draws its numbers first, first + 1, ...
template <Scalar S>
void drop_numbers(DropoutDraws draws, double probability, Index first, Index count, S* numbers) {
  constexpr Index at_once = 4 * lanes_of<Simd<std::uint32_t>>;
  const auto kept = static_cast<S>(1 / (1 - probability));
  const std::uint32_t threshold = dropout_threshold(probability), drawn = static_cast<std::uint32_t>(first);
  draws.counter[0] = drawn / 4;
  alignas(64) std::uint32_t words[static_cast<std::size_t>(at_once)];
  for (Index i = -static_cast<Index>(drawn % 4); i < count; i += at_once) {
    philox_words(draws.counter, draws.key, words);
    draws.counter[0] += static_cast<std::uint32_t>(at_once / 4);
    if (i >= 0 && i + at_once <= count) {
      unrolled<4>([&](auto part) __attribute__((always_inline)) {
        drop_vector(words + part * at_once / 4, threshold, kept, numbers + i + part * at_once / 4);
      });
    } else {
      for (Index k = std::max<Index>(0, -i); k < std::min(at_once, count - i); ++k)
        numbers[i + k] = words[k] < threshold ? S(0) : numbers[i + k] * kept;
    }
  }
}

/// Dropout of the columns first, ..., first + count - 1 of a matrix.
template <Scalar S>
void drop_columns(const DropoutDraws& draws, double probability, Index rows, Index first, Index count,
                  Columns<S> matrix) {
  if (matrix.stride == rows) return drop_numbers(draws, probability, first * rows, count * rows, matrix.at(0, first));
  for (Index j = first; j < first + count; ++j) drop_numbers(draws, probability, j * rows, rows, matrix.at(0, j));
}

/// Dropout of the probabilities of one head on one set, drawn for each block of queries on its own: for the keys that
/// any of them sees, query after query.
struct ProbabilityDropout {
  const AttentionDropout& dropout;
  Index set, head, length, visible;
  bool causal;

  /// Of a query's probabilities, those of the keys first, ..., first + count - 1.
  template <Scalar S>
  void drop(Index query, Index first, Index count, S* probabilities) const {
    const Index block = query / query_block * query_block;
    const Index block_keys = seen_keys(causal, visible, block, std::min(query_block, length - block));
    drop_numbers(DropoutDraws(dropout.stream, dropout.place, set, head * length + block), dropout.probability,
                 (query - block) * block_keys + first, count, probabilities);
  }
};

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
