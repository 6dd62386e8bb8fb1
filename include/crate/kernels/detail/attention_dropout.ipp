// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// Products of every lane with a factor, their lower and upper halves.
struct WideProducts {
  Simd<std::uint32_t> low, high;
};

[[gnu::always_inline]] inline WideProducts wide_products(const Simd<std::uint32_t>& x, std::uint64_t factor) {
  using Halves = Simd<std::uint32_t>;
  using Wide = Simd<std::uint64_t>;
  constexpr std::uint64_t lower = 0xFFFFFFFF;
  const Wide even = (same_bits<Wide>(x) & lower) * factor, odd = (same_bits<Wide>(x) >> 32U) * factor;
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

/// Dropout of the probabilities of one head on one set, as detail::drop does it for each block of queries on its own.
struct ProbabilityDropout {
  const AttentionDropout& dropout;
  Index set, head, length, visible;
  bool causal;

  /// Of a query's probabilities, those of the keys first, ..., first + count - 1.
  template <Scalar S>
  void drop(Index query, Index first, Index count, S* probabilities) const {
    constexpr Index words_at_once = 4 * lanes_of<Simd<std::uint32_t>>;
    const Index block = query / query_block * query_block;
    const Index block_keys = seen_keys(causal, visible, block, std::min(query_block, length - block));
    const auto drawn = static_cast<std::uint32_t>((query - block) * block_keys + first);
    const auto kept = static_cast<S>(1 / (1 - dropout.probability));
    const std::uint32_t threshold = dropout_threshold(dropout.probability);
    DropoutDraws draws(dropout.stream, dropout.place, set, head * length + block);
    draws.counter[0] = drawn / 4;
    alignas(64) std::uint32_t words[static_cast<std::size_t>(words_at_once)];
    for (Index i = -static_cast<Index>(drawn % 4); i < count; i += words_at_once) {
      philox_words(draws.counter, draws.key, words);
      draws.counter[0] += static_cast<std::uint32_t>(words_at_once / 4);
      const Index last = std::min(words_at_once, count - i);
      for (Index k = std::max<Index>(0, -i); k < last; ++k)
        probabilities[i + k] = words[k] < threshold ? S(0) : probabilities[i + k] * kept;
    }
  }
};

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
