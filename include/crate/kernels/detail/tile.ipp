// SPDX-License-Identifier: MIT

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// The micro-kernel: sums(i, j) = sum over k of panel(i, k) x(k, j), the sums in registers throughout.
/// `panel` holds, for each step k, `vectors` vectors of rows, and `panel_step` units from one step to the next; `x` and
/// `sums` have their columns `x_stride` units and `sums_stride` numbers apart. `sums` has room for whole vectors of
/// rows.
/// Unrolled by one list of all v and one of all cells (v, j) = (cell % vectors, cell / vectors): with a lambda for
/// each, these would take most of the time in which a program compiles.
template <class A, int vectors, int columns>
void multiply_tile(const typename A::Unit* panel, Index panel_step, Index depth, const typename A::Column* x,
                   Index x_stride, typename A::Scalar* sums, Index sums_stride) {
  using Sums = typename A::Sums;
  using Units = typename A::Units;
  const Index ahead =
      columns == 1 ? column_bytes_ahead / Index{sizeof(Units)} * lanes_of<Units> : tile_steps_ahead * panel_step;
  [&]<int... v, int... cell>(std::integer_sequence<int, v...>, std::integer_sequence<int, cell...>)
      __attribute__((always_inline)) {
    Registers<Registers<Sums, vectors>, columns> sum;
    ((sum[cell / vectors][cell % vectors] = Sums{}), ...);
#ifdef __clang__
#pragma clang loop unroll(disable)  // unrolled, as under -march=native, clang 14 keeps sums in memory
#endif
    for (Index k = 0; k < depth; ++k, panel += panel_step, ++x) {
      Registers<Units, vectors> rows;
      // Harmless beyond the end.
      ((v * sizeof(Units) % cache_line == 0
            ? __builtin_prefetch(panel + v * lanes_of<Units> + ahead, 0, columns == 1 ? second_cache : first_cache)
            : void()),
       ...);
      ((rows[v] = load<Units>(panel + v * lanes_of<Units>)), ...);
      (A::multiply_add(sum[cell / vectors][cell % vectors], rows[cell % vectors], x[cell / vectors * x_stride]), ...);
    }
    (store(sum[cell / vectors][cell % vectors], sums + cell / vectors * sums_stride + cell % vectors * lanes_of<Sums>),
     ...);
  }
  (std::make_integer_sequence<int, vectors>{}, std::make_integer_sequence<int, vectors * columns>{});
}

template <class A>
using TileKernel = void (*)(const typename A::Unit*, Index, Index, const typename A::Column*, Index,
                            typename A::Scalar*, Index);

/// The micro-kernels of one arithmetic for tiles of every size up to the full one, which has as many registers of sums
/// as the register file holds beside the operands.
template <class A>
struct Tiles {
  static constexpr Index lanes = lanes_of<typename A::Sums>;
  static constexpr int vectors = tile_shape(CRATE_TARGET_BYTES).vectors;
  static constexpr int columns = tile_shape(CRATE_TARGET_BYTES).columns;
  static constexpr Index rows = vectors * lanes;

  /// The kernel for 1 <= v <= vectors and 1 <= n <= columns.
  [[nodiscard]] static TileKernel<A> kernel(Index v, Index n) {
    return table[static_cast<std::size_t>((v - 1) * columns + n - 1)];
  }

 private:
  template <int... i>
  static constexpr std::array<TileKernel<A>, sizeof...(i)> all(std::integer_sequence<int, i...>) {
    return {&multiply_tile<A, i / columns + 1, i % columns + 1>...};
  }
  static constexpr auto table = all(std::make_integer_sequence<int, vectors * columns>{});
};

/// Numbers between what one worker of attention writes and the next: what is fetched ahead must not be the next one's.
template <Scalar S>
constexpr Index gap_of_workers = numbers_ahead(Tiles<Arithmetic<S>>::rows, sizeof(S));

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
