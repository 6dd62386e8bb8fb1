// SPDX-License-Identifier: MIT
// Products of bfloat16 weights and floats. A panel is widened to floats on its way to the first tile of columns, while
// the multiply-adds of that tile leave the memory time to take them.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// What multiply_tile computes, of a panel of bfloat16 pairs, `depth` numbers a row; what it widens is left in
/// `widened`, unless nobody else `keeps` it.
template <int vectors, int columns, bool keeps = true>
void multiply_widening(const BfloatPair* panel, Index depth, const float* x, Index x_stride, float* widened,
                       float* sums, Index sums_stride) {
  using V = Simd<float>;
  using Bits = Simd<std::uint32_t>;
  constexpr Index lanes = lanes_of<V>, width = vectors * lanes;
  Registers<Registers<V, vectors>, columns> sum;
  unrolled<columns>([&](auto j) __attribute__((always_inline)) {
    unrolled<vectors>([&](auto v) __attribute__((always_inline)) { sum[j][v] = V{}; });
  });
  const auto add = [&](auto second) __attribute__((always_inline)) {
    Registers<V, vectors> rows;
    unrolled<vectors>([&](auto v) __attribute__((always_inline)) {
      const Bits pairs = load<Bits>(panel + v * lanes);
      rows[v] = same_bits<V>(Bits(second ? pairs & 0xFFFF0000U : pairs << 16U));
      if constexpr (keeps) store(rows[v], widened + second * width + v * lanes);
    });
    unrolled<columns>([&](auto j) __attribute__((always_inline)) {
      const float number = x[j * x_stride + second];
      unrolled<vectors>([&](auto v) __attribute__((always_inline)) { add_product(sum[j][v], rows[v], number); });
    });
  };
  for (; depth > 1; depth -= 2, panel += width, x += 2) {
    unrolled<vectors>([&](auto v) __attribute__((always_inline)) {
      if constexpr (!keeps && v * sizeof(V) % cache_line == 0)
        __builtin_prefetch(panel + column_bytes_ahead / Index{sizeof(V)} * lanes + v * lanes, 0, second_cache);
      else if constexpr (v == 0)
        __builtin_prefetch(panel + tile_steps_ahead * width);
    });
    add(std::integral_constant<int, 0>{});
    add(std::integral_constant<int, 1>{});
    if constexpr (keeps) widened += 2 * width;
  }
  if (depth == 1) add(std::integral_constant<int, 0>{});
  unrolled<columns>([&](auto j) __attribute__((always_inline)) {
    unrolled<vectors>([&](auto v)
                          __attribute__((always_inline)) { store(sum[j][v], sums + j * sums_stride + v * lanes); });
  });
}

/// The numbers of a panel of so many pairs a row as floats: `width` rows side by side for each of 2 `pairs` numbers.
inline void widen_panel(const BfloatPair* panel, Index width, Index pairs, float* widened) {
  using V = Simd<float>;
  using Bits = Simd<std::uint32_t>;
  for (Index k = 0; k < pairs; ++k)
    for (Index i = 0; i < width; i += lanes_of<V>) {
      const Bits pair = load<Bits>(panel + k * width + i);
      store(same_bits<V>(pair << 16U), widened + 2 * k * width + i);
      store(same_bits<V>(pair & 0xFFFF0000U), widened + (2 * k + 1) * width + i);
    }
}

/// As multiply_panel, of `depth` numbers a row, with room for the widened panel.
template <class Kept, class Out>
void multiply_panel_widening(const BfloatPair* panel, Index depth, Index row, Index rows, Columns<const float> x,
                             Index first, Index last, const Epilogue<float, Kept>& epilogue, Columns<Out> out,
                             float* widened) {
  using A = Arithmetic<float>;
  using T = Tiles<A>;
  if (rows == T::rows && last - first == 1) {
    alignas(64) float sums[static_cast<std::size_t>(T::rows)];
    multiply_widening<T::vectors, 1, false>(panel, depth, x.at(0, first), x.stride, nullptr, sums, T::rows);
    return finish_tile<A>(sums, row, rows, first, 1, epilogue, out);
  }
  if (rows == T::rows && last - first >= T::columns) {
    alignas(64) float sums[static_cast<std::size_t>(T::rows * T::columns)];
    multiply_widening<T::vectors, T::columns>(panel, depth, x.at(0, first), x.stride, widened, sums, T::rows);
    finish_tile<A>(sums, row, rows, first, T::columns, epilogue, out);
    first += T::columns;
  } else {
    widen_panel(panel, round_up(rows, T::lanes), (depth + 1) / 2, widened);
  }
  multiply_panel<A>(widened, depth, row, rows, x, first, last, epilogue, out);
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
