// SPDX-License-Identifier: MIT
// Vectors of the processor's registers, by the vector extension that g++ and clang share.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// As many numbers as a register holds, side by side, for which +, *, < and ?: act on each.
template <class T>
using Simd = VectorOf<T, CRATE_TARGET_BYTES>;

/// body(0), ..., body(count - 1) with constants, so that arrays indexed by them may live in registers.
template <int count, class Body>
[[gnu::always_inline]] inline void unrolled(const Body& body) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, i>{}), ...);
  }
  (std::make_integer_sequence<int, count>{});
}

/// The same bits as another vector. (std::bit_cast is compiled for other instructions and cannot return it.)
template <class To, class From>
[[gnu::always_inline]] inline To same_bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

template <class V, class T>
[[gnu::always_inline]] inline V load(const T* from) {
  V vector;
  std::memcpy(&vector, from, sizeof(V));
  return vector;
}

/// The first `count` numbers; the others are `rest`.
template <class V>
[[gnu::always_inline]] inline V load_first(const ElementOf<V>* from, Index count, ElementOf<V> rest = 0) {
  V vector = V{} + rest;
  std::memcpy(&vector, from, static_cast<std::size_t>(count) * sizeof(ElementOf<V>));
  return vector;
}

template <class V, class T>
[[gnu::always_inline]] inline void store(const V& vector, T* to) {
  std::memcpy(static_cast<void*>(to), &vector, sizeof(V));
}

template <class V, class T>
[[gnu::always_inline]] inline void store_first(const V& vector, T* to, Index count) {
  std::memcpy(static_cast<void*>(to), &vector, static_cast<std::size_t>(count) * sizeof(T));
}

template <class V>
[[gnu::always_inline]] inline V larger(const V& a, const V& b) {
  return a < b ? b : a;
}

template <class V>
[[gnu::always_inline]] inline V smaller(const V& a, const V& b) {
  return b < a ? b : a;
}

/// The lanes of a and b in turn, a_0 b_0 a_1 b_1 ...: the first half of them, or the second.
template <bool second, class V>
[[gnu::always_inline]] inline V interleaved(const V& a, const V& b) {
  constexpr int lanes = lanes_of<V>;
  return [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    return V(__builtin_shufflevector(a, b, ((i % 2) * lanes + i / 2 + (second ? lanes / 2 : 0))...));
  }
  (std::make_integer_sequence<int, lanes>{});
}

/// A square of numbers, rows[i][j] to rows[j][i]: as often as it halves, its upper and lower half are interleaved row
/// by row.
template <class V>
[[gnu::always_inline]] inline void transpose(Registers<V, lanes_of<V>>& rows) {
  constexpr int lanes = lanes_of<V>;
  for (int width = 1; width < lanes; width *= 2) {
    Registers<V, lanes> next;
    unrolled<lanes / 2>([&](auto i) __attribute__((always_inline)) {
      next[2 * i] = interleaved<false>(rows[i], rows[i + lanes / 2]);
      next[2 * i + 1] = interleaved<true>(rows[i], rows[i + lanes / 2]);
    });
    unrolled<lanes>([&](auto i) __attribute__((always_inline)) { rows[i] = next[i]; });
  }
}

/// combine(... combine(combine(v_0, v_h), ...)), h half the lanes: all lanes made one in a fixed order.
template <class V, class Combine>
[[gnu::always_inline]] inline ElementOf<V> reduced(const V& vector, const Combine& combine) {
  constexpr int half = lanes_of<V> / 2;
  if constexpr (half == 0 || sizeof(V) <= 16) {
    ElementOf<V> result = vector[0];
    for (int i = 1; i < lanes_of<V>; ++i) result = combine(result, vector[i]);
    return result;
  } else {
    using Half = VectorOf<ElementOf<V>, sizeof(V) / 2>;
    return [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
      return reduced(Half(combine(Half(__builtin_shufflevector(vector, vector, i...)),
                                  Half(__builtin_shufflevector(vector, vector, (i + half)...)))),
                     combine);
    }
    (std::make_integer_sequence<int, half>{});
  }
}

/// The sum of all lanes, in a fixed order.
template <class V>
[[gnu::always_inline]] inline ElementOf<V> sum_of(const V& vector) {
  return reduced(vector, [](const auto& a, const auto& b) { return a + b; });
}

template <class V>
[[gnu::always_inline]] inline ElementOf<V> largest_of(const V& vector) {
  return reduced(vector, [](const auto& a, const auto& b) { return larger(a, b); });
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
