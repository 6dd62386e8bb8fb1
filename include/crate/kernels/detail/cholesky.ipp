// SPDX-License-Identifier: MIT
// Computes columns of the Cholesky factor L of I + M, for symmetric M, in place. Only the entries of M on and below its
// diagonal are read. The space above the diagonal is free: vectors of rows are taken from the last row upwards, so that
// the topmost one may reach into it, and it holds L^T of the finished columns, because the micro-kernel of products
// reads its right factor column by column.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// M(i, j) -= sum_k L(i, k) L(j, k), from <= k < first, for the `columns` columns j from `first` on and all rows
/// i >= first.
template <Scalar S>
void subtract_products(Columns<S> m, Index size, Index from, Index first, Index columns) {
  using OfProducts = Tiles<Arithmetic<S>>;
  constexpr Index lanes = OfProducts::lanes;
  alignas(cache_line) S sums[OfProducts::rows * OfProducts::columns];
  Index end = size;
  while (end > first && end >= lanes) {
    const Index vectors = std::min<Index>({OfProducts::vectors, (end - first + lanes - 1) / lanes, end / lanes});
    const Index rows = vectors * lanes, row = end - rows;
    OfProducts::kernel(vectors, columns)(m.at(row, from), m.stride, first - from, m.at(from, first), m.stride, sums,
                                         rows);
    for (Index j = 0; j < columns; ++j)
      for (Index i = 0; i < rows; ++i) *m.at(row + i, first + j) -= sums[j * rows + i];
    end = row;
  }
  for (Index j = first; j < first + columns; ++j)  // too few rows are left to fill a vector
    for (Index i = first; i < end; ++i)
      for (Index k = from; k < first; ++k) *m.at(i, j) -= *m.at(i, k) * *m.at(k, j);
}

/// The factor L of a block on the diagonal, of at most `width` columns.
template <int width, Scalar S>
struct DiagonalFactor {
  Registers<Registers<S, width>, width> l;  ///< l[j][i] = L(i, j) for i >= j; otherwise undefined
  Registers<S, width> inverse;              ///< 1 / L(j, j)

  /// Factorises I + M of the block whose first entry is at `m`. Returns false unless it is positive definite.
  [[nodiscard]] bool factorise(Columns<S> m, auto columns, S* excess) {
    for (Index j = 0; j < columns; ++j)
      for (Index i = 0; i < columns; ++i) l[j][i] = *m.at(i, j);
    for (Index k = 0; k < columns; ++k) {
      excess[k] = l[k][k];
      if (!(excess[k] > -1)) return false;
      const S root = std::sqrt(1 + excess[k]);
      inverse[k] = root * (1 / (1 + excess[k]));
      for (Index i = 0; i < width; ++i) l[k][i] *= inverse[k];  // with those above the diagonal, as one vector
      l[k][k] = root;
      for (Index j = k + 1; j < columns; ++j)
        for (Index i = 0; i < width; ++i) l[j][i] -= l[k][i] * l[k][j];
    }
    return true;
  }

  /// Replaces the first `count` rows of X by those of X L^{-T}, where `count` is at most a vector.
  void solve(Columns<S> x, auto columns, auto count) const {
    using V = Simd<S>;
    Registers<V, width> solved;
    for (Index j = 0; j < columns; ++j) {
      V sum = load_first<V>(x.at(0, j), count);
      for (Index k = 0; k < j; ++k) sum -= solved[k] * l[k][j];
      solved[j] = sum * inverse[j];
      store_rounded(solved[j], x.at(0, j), count);
    }
  }
};

/// Replaces `columns` columns of M, at most `width`, from `first` on, by those of L. The columns from `from` to before
/// `first` are already of L; the products of those before `from` have been subtracted. Squared pivots less 1 go into
/// `excess`. Returns false unless I + M is positive definite.
template <int width, Scalar S>
[[nodiscard]] bool factor_next(Columns<S> m, Index size, Index from, Index first, auto columns, S* excess) {
  constexpr std::integral_constant<Index, lanes_of<Simd<S>>> whole;
  if (from < first) subtract_products(m, size, from, first, columns);
  DiagonalFactor<width, S> diagonal{};
  if (!diagonal.factorise({m.at(first, first), m.stride}, columns, excess + first)) return false;
  Index end = size;
  for (; end >= whole && end > first; end -= whole)
    diagonal.solve({m.at(end - whole, first), m.stride}, columns, whole);
  if (end > first) diagonal.solve({m.at(0, first), m.stride}, columns, end);
  for (Index j = 0; j < columns; ++j) *m.at(first + j, first + j) = diagonal.l[j][j];
  return true;
}

/// Replaces the columns first, ..., first + count - 1 of M by those of L. The products of the columns before `first`
/// have been subtracted. Returns false unless I + M is positive definite.
template <Scalar S>
[[nodiscard]] bool factor_columns(Columns<S> m, Index size, Index first, Index count, S* excess) {
  constexpr std::integral_constant<Index, tile_shape(CRATE_TARGET_BYTES).columns> width;
  const Index end = first + count;
  Index j = first;
  for (; j + width <= end; j += width) {
    if (!factor_next<width>(m, size, first, j, width, excess)) return false;
    const Index next = j + width;
    transpose_into<S>(m.at(next, j), m.stride, width, end - next, m.at(j, next), m.stride);
  }
  return j == end || factor_next<width>(m, size, first, j, end - j, excess);
}

}  // namespace CRATE_UNIT
}  // namespace crate::detail::CRATE_TARGET
