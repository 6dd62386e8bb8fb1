// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

template <Activation activation, class V>
[[gnu::always_inline]] inline V activated(const V& x, ElementOf<V> level) {
  if constexpr (activation == Activation::relu) {
    const V above = x - level;
    return above < V{} ? V{} : above;  // not a number stays one
  } else if constexpr (activation == Activation::soft_threshold) {
    return x - larger(smaller(x, V{} + level), V{} - level);
  } else {
    static_assert(activation == Activation::none);
    return x;
  }
}

/// The numbers where the mask is not 0, else 0.
template <class V>
[[gnu::always_inline]] inline V masked(const V& x, const V& mask) {
  return mask == V{} ? V{} : x;
}

/// The first `count` of the numbers to where tokens are kept; if that is as bfloat16, rounded, and up to a whole number
/// of pairs.
template <class V, class Out>
[[gnu::always_inline]] inline void store_rounded(const V& numbers, Out* to, Index count) {
  if constexpr (std::same_as<Out, bfloat16>) {
    using Halves = VectorOf<std::uint16_t, sizeof(V) / 2>;
    store_first(__builtin_convertvector(rounded_to_bfloat16(numbers), Halves), to, round_up(count, 2));
  } else {
    if (count == lanes_of<V>)
      store(numbers, to);
    else
      store_first(numbers, to, count);
  }
}

/// The first `count` numbers where tokens are kept, zeros after them.
template <class V, class Kept>
[[gnu::always_inline]] inline V load_kept(const Kept* from, Index count) {
  if constexpr (std::same_as<Kept, bfloat16>) {
    using Halves = VectorOf<std::uint16_t, sizeof(V) / 2>;
    using Bits = Simd<std::uint32_t>;
    Halves halves{};
    std::memcpy(&halves, from, static_cast<std::size_t>(count) * sizeof(Kept));
    return same_bits<V>(__builtin_convertvector(halves, Bits) << 16U);
  } else {
    return load_first<V>(from, count);
  }
}

/// Finishes `vectors` vectors of rows of a tile, the first `count` rows of each, in all its columns. The product's
/// activation and the count are constants where that pays.
template <Activation activation, int vectors, class V, class Kept, class Out>
[[gnu::always_inline]] inline void finish_rows(const ElementOf<V>* sums, Index sums_stride, Index row, auto count,
                                               Index col, Index cols, const Epilogue<ElementOf<V>, Kept>& epilogue,
                                               Columns<Out> out) {
  constexpr Index lanes = lanes_of<V>;
  Registers<V, vectors> shift = {};
  if (epilogue.shift)
    unrolled<vectors>([&](auto v) { shift[v] = load_first<V>(epilogue.shift + row + v * lanes, count); });
  for (Index j = 0; j < cols; ++j) {
    const auto scale = epilogue.column_scale ? epilogue.scale * epilogue.column_scale[col + j] : epilogue.scale;
    Registers<V, vectors> x;
    unrolled<vectors>([&](auto v) { x[v] = load<V>(sums + j * sums_stride + v * lanes) * scale + shift[v]; });
    if (epilogue.addend.first)
      unrolled<vectors>([&](auto v) { x[v] += load_kept<V>(epilogue.addend.at(row + v * lanes, col + j), count); });
    unrolled<vectors>([&](auto v) { x[v] = activated<activation>(x[v], epilogue.level); });
    if (epilogue.mask.first)
      unrolled<vectors>(
          [&](auto v) { x[v] = masked(x[v], load_first<V>(epilogue.mask.at(row + v * lanes, col + j), count)); });
    unrolled<vectors>([&](auto v) { store_rounded(x[v], out.at(row + v * lanes, col + j), count); });
  }
}

template <Activation activation, class A, class Kept, class Out>
void finish_tile_by(const typename A::Scalar* sums, Index row, Index rows, Index col, Index cols,
                    const Epilogue<typename A::Scalar, Kept>& epilogue, Columns<Out> out) {
  using V = typename A::Sums;
  using T = Tiles<A>;
  if (rows == T::rows) {
    constexpr std::integral_constant<Index, T::lanes> whole;
    return finish_rows<activation, T::vectors, V>(sums, T::rows, row, whole, col, cols, epilogue, out);
  }
  for (Index i = 0; i < rows; i += T::lanes)
    finish_rows<activation, 1, V>(sums + i, T::rows, row + i, std::min(T::lanes, rows - i), col, cols, epilogue, out);
}

/// By GELU, in memory between two passes: in registers it would be compiled for every kind of product, and take
/// longer than it lasts.
template <class A, class Kept, class Out>
void finish_tile_by_gelu(GeluForm form, const typename A::Scalar* sums, Index row, Index rows, Index col, Index cols,
                         const Epilogue<typename A::Scalar, Kept>& epilogue, Columns<Out> out) {
  using S = typename A::Scalar;
  using T = Tiles<A>;
  alignas(64) S tile[static_cast<std::size_t>(T::rows * T::columns)] = {};
  Epilogue<S, Kept> affine{.scale = epilogue.scale};
  if (epilogue.shift) affine.shift = epilogue.shift + row;
  if (epilogue.column_scale) affine.column_scale = epilogue.column_scale + col;
  if (epilogue.addend.first) affine.addend = {epilogue.addend.at(row, col), epilogue.addend.stride};
  finish_tile_by<Activation::none, A>(sums, 0, rows, 0, cols, affine, Columns<S>{tile, T::rows});
  gelu_numbers(tile, T::rows * cols, form, tile);
  finish_tile_by<Activation::none, A>(tile, row, rows, col, cols, Epilogue<S, Kept>{.mask = epilogue.mask}, out);
}

/// Stores the tile of a product that begins at (row, col) and holds rows x cols sums, columns `Tiles::rows` apart.
template <class A, class Kept, class Out>
void finish_tile(const typename A::Scalar* sums, Index row, Index rows, Index col, Index cols,
                 const Epilogue<typename A::Scalar, Kept>& epilogue, Columns<Out> out) {
  switch (epilogue.activation) {
    case Activation::none:
      return finish_tile_by<Activation::none, A>(sums, row, rows, col, cols, epilogue, out);
    case Activation::relu:
      return finish_tile_by<Activation::relu, A>(sums, row, rows, col, cols, epilogue, out);
    case Activation::soft_threshold:
      return finish_tile_by<Activation::soft_threshold, A>(sums, row, rows, col, cols, epilogue, out);
    case Activation::gelu:
      return finish_tile_by_gelu<A>(GeluForm::exact, sums, row, rows, col, cols, epilogue, out);
    case Activation::gelu_tanh:
      return finish_tile_by_gelu<A>(GeluForm::tanh, sums, row, rows, col, cols, epilogue, out);
  }
}

/// sums(i) = sum over the steps k listed of panel(i, k) x(k), in their order. Behind the list stand as many more as are
/// fetched ahead.
template <class A, int vectors>
void multiply_steps(const typename A::Unit* panel, std::span<const std::int32_t> steps, const typename A::Column* x,
                    typename A::Scalar* sums) {
  using Sums = typename A::Sums;
  using Units = typename A::Units;
  constexpr Index step = vectors * lanes_of<Units>;
  Registers<Sums, vectors> sum;
  unrolled<vectors>([&](auto v) __attribute__((always_inline)) { sum[v] = Sums{}; });
  const std::int32_t* k = steps.data();
  for (const std::int32_t* const end = k + steps.size(); k != end; ++k) {
    const auto* const rows = panel + *k * step;
    const auto* const ahead = panel + k[listed_steps_ahead] * step;
    const auto number = x[*k];
    unrolled<vectors>([&](auto v) __attribute__((always_inline)) {
      if constexpr (v * sizeof(Units) % cache_line == 0)
        __builtin_prefetch(ahead + v * lanes_of<Units>, 0, first_cache);
      A::multiply_add(sum[v], load<Units>(rows + v * lanes_of<Units>), number);
    });
  }
  unrolled<vectors>([&](auto v) __attribute__((always_inline)) { store(sum[v], sums + v * lanes_of<Sums>); });
}

/// One panel of W by the column x, of which the steps listed alone are no zeros: the same sums as multiply_panel's, and
/// what zeros would multiply is not read.
template <class A, class Kept, class Out>
void multiply_panel_by_steps(const typename A::Unit* panel, std::span<const std::int32_t> steps, Index row, Index rows,
                             const typename A::Column* x, const Epilogue<typename A::Scalar, Kept>& epilogue,
                             Columns<Out> out) {
  using T = Tiles<A>;
  alignas(64) typename A::Scalar sums[static_cast<std::size_t>(T::rows)];
  const Index vectors = (rows + T::lanes - 1) / T::lanes;
  unrolled<T::vectors>([&](auto v) {
    if (vectors == v + 1) multiply_steps<A, v + 1>(panel, steps, x, sums);
  });
  finish_tile<A>(sums, row, rows, 0, 1, epilogue, out);
}

/// One panel of W by some of the columns of X: rows from `row` on, columns from `first` to before `last`. Of a lower
/// triangle, vectors of rows that lie above the diagonal are left out.
template <class A, class Kept, class Out>
void multiply_panel(const typename A::Unit* panel, Index depth, Index row, Index rows,
                    Columns<const typename A::Column> x, Index first, Index last,
                    const Epilogue<typename A::Scalar, Kept>& epilogue, Columns<Out> out,
                    Entries entries = Entries::all) {
  using T = Tiles<A>;
  alignas(64) typename A::Scalar sums[static_cast<std::size_t>(T::rows * T::columns)];
  const Index width = round_up(rows, T::lanes);
  for (Index col = first; col < last; col += T::columns) {
    const Index n = std::min<Index>(T::columns, last - col);
    const Index above =
        entries == Entries::lower_triangle ? std::max<Index>(col - row, 0) / T::lanes * T::lanes : Index{0};
    T::kernel((width - above) / T::lanes, n)(panel + above, width, depth, x.at(0, col), x.stride, sums, T::rows);
    finish_tile<A>(sums, row + above, rows - above, col, n, epilogue, out);
  }
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
