// SPDX-License-Identifier: MIT
// The columns of a Cholesky factor L of I + M, M symmetric: of M what lies below the diagonal and on it is read, and
// above it anything may stand. So vectors of rows are laid from the last row upwards, and the topmost may reach above
// the diagonal.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// M(i, j) -= sum over k of L(i, k) L(j, k), k from `from` to before `first`, for `columns` columns j from `first` on
/// and a vector of rows i from `row` on.
template <int columns, Scalar S>
void subtract_products(Columns<S> m, Index from, Index first, Index row) {
  using V = Simd<S>;
  Registers<V, columns> sums = {};
  for (Index k = from; k < first; ++k) {
    const V rows = load<V>(m.at(row, k));
    unrolled<columns>([&](auto j) __attribute__((always_inline)) { add_product(sums[j], rows, *m.at(first + j, k)); });
  }
  for (int j = 0; j < columns; ++j) store(V(load<V>(m.at(row, first + j)) - sums[j]), m.at(row, first + j));
}

/// The factor of a block on the diagonal, number by number.
template <int columns, Scalar S>
struct DiagonalFactor {
  Registers<Registers<S, columns>, columns> l;
  Registers<S, columns> inverse;  ///< of its diagonal

  /// Of I + M of the block that begins at `m`. False unless that is positive definite.
  [[nodiscard]] bool factorise(Columns<S> m, S* excess) {
    bool is_positive = true;
    for (Index i = 0; i < columns; ++i) {
      for (Index j = 0; j < i; ++j) l[i][j] = rest(m, i, j) * inverse[j];
      excess[i] = rest(m, i, i);
      is_positive = is_positive && excess[i] > -1;
      l[i][i] = std::sqrt(1 + excess[i]);
      inverse[i] = l[i][i] * (1 / (1 + excess[i]));
    }
    return is_positive;
  }

  /// X L^{-T} in place of a vector of rows of X, the first `count` of them.
  void solve(Columns<S> x, auto count) const {
    using V = Simd<S>;
    Registers<V, columns> solved;
    for (int j = 0; j < columns; ++j) {
      V sum = load_first<V>(x.at(0, j), count);
      for (int k = 0; k < j; ++k) sum -= solved[k] * l[j][k];
      solved[j] = sum * inverse[j];
      store_rounded(solved[j], x.at(0, j), count);
    }
  }

 private:
  /// M(i, j) less the products of the columns before.
  [[nodiscard]] S rest(Columns<S> m, Index i, Index j) const {
    S sum = *m.at(i, j);
    for (Index k = 0; k < j; ++k) sum -= l[i][k] * l[j][k];
    return sum;
  }
};

/// `columns` columns of L in place of those of M, from `first` on, where those from `from` on are of L already and what
/// is before them has been subtracted. Their squared pivots less 1 go into `excess`.
template <int columns, Scalar S>
[[nodiscard]] bool factor_next(Columns<S> m, Index size, Index from, Index first, S* excess) {
  constexpr std::integral_constant<Index, lanes_of<Simd<S>>> whole;
  Index end = size;
  for (; end >= whole && end > first; end -= whole) subtract_products<columns>(m, from, first, end - whole);
  for (Index j = first; j < first + columns; ++j)  // the few rows that fill no vector
    for (Index i = first; i < end; ++i)
      for (Index k = from; k < first; ++k) *m.at(i, j) -= *m.at(i, k) * *m.at(j, k);
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
