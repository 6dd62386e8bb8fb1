// SPDX-License-Identifier: MIT
// The columns of a Cholesky factor L of I + M, M symmetric: of M what lies below the diagonal and on it is read, and
// above it anything may stand. So vectors of rows are laid from the last row upwards, and the topmost may reach above
// the diagonal.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// M(i, j) -= sum over k of L(i, k) L(j, k), k from `from` to before `first`, for `columns` columns j from `first` on
/// and `vectors` vectors of rows i from `row` on, the first `count` rows of each.
template <int columns, int vectors, Scalar S>
void subtract_products(Columns<S> m, Index from, Index first, Index row, auto count) {
  using V = Simd<S>;
  constexpr Index lanes = lanes_of<V>;
  Registers<Registers<V, vectors>, columns> sums = {};
  for (Index k = from; k < first; ++k)
    unrolled<vectors>([&](auto v) __attribute__((always_inline)) {
      const V rows = load_first<V>(m.at(row + v * lanes, k), count);
      unrolled<columns>([&](auto j)
                            __attribute__((always_inline)) { add_product(sums[j][v], rows, *m.at(first + j, k)); });
    });
  unrolled<vectors>([&](auto v) __attribute__((always_inline)) {
    unrolled<columns>([&](auto j) __attribute__((always_inline)) {
      S* const entries = m.at(row + v * lanes, first + j);
      store_rounded(V(load_first<V>(entries, count) - sums[j][v]), entries, count);
    });
  });
}

/// The factor of a block on the diagonal, number by number.
template <int columns, Scalar S>
struct DiagonalFactor {
  Registers<Registers<S, columns>, columns> l;
  Registers<S, columns> inverse;  ///< of its diagonal

  /// Of I + M of the block that begins at `m`. False unless that is positive definite.
  [[nodiscard]] bool factorise(Columns<S> m, S* excess) {
    bool is_positive = true;
    unrolled<columns>([&](auto i) __attribute__((always_inline)) {
      unrolled<i>([&](auto j) __attribute__((always_inline)) { l[i][j] = rest(m, i, j) * inverse[j]; });
      excess[i] = rest(m, i, i);
      is_positive = is_positive && excess[i] > -1;
      l[i][i] = std::sqrt(1 + excess[i]);
      inverse[i] = l[i][i] * (1 / (1 + excess[i]));
    });
    return is_positive;
  }

  /// X L^{-T} in place of a vector of rows of X, the first `count` of them.
  void solve(Columns<S> x, auto count) const {
    using V = Simd<S>;
    Registers<V, columns> solved;
    unrolled<columns>([&](auto j) __attribute__((always_inline)) {
      V sum = load_first<V>(x.at(0, j), count);
      unrolled<j>([&](auto k) __attribute__((always_inline)) { sum -= solved[k] * l[j][k]; });
      solved[j] = sum * inverse[j];
      store_rounded(solved[j], x.at(0, j), count);
    });
  }

 private:
  /// M(i, j) less the products of the columns before.
  [[gnu::always_inline]] S rest(Columns<S> m, auto i, auto j) const {
    S sum = *m.at(i, j);
    unrolled<j>([&](auto k) __attribute__((always_inline)) { sum -= l[i][k] * l[j][k]; });
    return sum;
  }
};

/// `columns` columns of L in place of those of M, from `first` on, where those from `from` on are of L already and what
/// is before them has been subtracted. Their squared pivots less 1 go into `excess`.
template <int columns, Scalar S>
[[nodiscard]] bool factor_next(Columns<S> m, Index size, Index from, Index first, S* excess) {
  constexpr std::integral_constant<Index, lanes_of<Simd<S>>> whole;
  Index end = size;
  for (; end >= 2 * whole && end - whole > first; end -= 2 * whole)
    subtract_products<columns, 2>(m, from, first, end - 2 * whole, whole);
  for (; end >= whole && end > first; end -= whole) subtract_products<columns, 1>(m, from, first, end - whole, whole);
  if (end > first) subtract_products<columns, 1>(m, from, first, 0, end);
  DiagonalFactor<columns, S> diagonal{};
  if (!diagonal.factorise({m.at(first, first), m.stride}, excess + first)) return false;
  for (end = size; end >= whole && end > first; end -= whole)
    diagonal.solve({m.at(end - whole, first), m.stride}, whole);
  if (end > first) diagonal.solve({m.at(0, first), m.stride}, end);
  for (Index j = 0; j < columns; ++j) *m.at(first + j, first + j) = diagonal.l[j][j];
  return true;
}

/// The columns first, ..., first + count - 1 of L in place of those of M, of which the columns before have been
/// subtracted. False unless I + M is positive definite.
template <Scalar S>
[[nodiscard]] bool factor_columns(Columns<S> m, Index size, Index first, Index count, S* excess) {
  constexpr int width = tile_shape(CRATE_TARGET_BYTES).columns;
  Index j = first;
  for (; j + width <= first + count; j += width)
    if (!factor_next<width>(m, size, first, j, excess)) return false;
  for (; j < first + count; ++j)
    if (!factor_next<1>(m, size, first, j, excess)) return false;
  return true;
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
