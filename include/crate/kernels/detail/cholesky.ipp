// SPDX-License-Identifier: MIT
// The columns of a Cholesky factor L of I + M, M symmetric: of M what lies below the diagonal and on it is read, and
// above it anything may stand. Vectors of rows are laid from the last row upwards, and the topmost may reach above the
// diagonal. There, too, L^T is kept of the columns done, for the micro-kernel of products reads its right factor down
// the columns.

namespace crate::detail::CRATE_TARGET {
inline namespace CRATE_UNIT {

/// M(i, j) -= sum over k of L(i, k) L(j, k), k from `from` to before `first`, for `columns` columns j and all rows i
/// from `first` on.
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
  for (Index j = first; j < first + columns; ++j)  // the few rows that fill no vector
    for (Index i = first; i < end; ++i)
      for (Index k = from; k < first; ++k) *m.at(i, j) -= *m.at(i, k) * *m.at(k, j);
}

/// The factor of a block of at most `width` columns on the diagonal.
template <int width, Scalar S>
struct DiagonalFactor {
  Registers<Registers<S, width>, width> l;  ///< column after column; above the diagonal anything may stand
  Registers<S, width> inverse;              ///< of the diagonal

  /// Of I + M of the block that begins at `m`. False unless that is positive definite.
  [[nodiscard]] bool factorise(Columns<S> m, auto columns, S* excess) {
    for (Index j = 0; j < columns; ++j)
      for (Index i = 0; i < columns; ++i) l[j][i] = *m.at(i, j);
    for (Index k = 0; k < columns; ++k) {
      excess[k] = l[k][k];
      if (!(excess[k] > -1)) return false;
      const S root = std::sqrt(1 + excess[k]);
      inverse[k] = root * (1 / (1 + excess[k]));
      for (Index i = 0; i < width; ++i) l[k][i] *= inverse[k];  // all rows: a vector
      l[k][k] = root;
      for (Index j = k + 1; j < columns; ++j)
        for (Index i = 0; i < width; ++i) l[j][i] -= l[k][i] * l[k][j];
    }
    return true;
  }

  /// X L^{-T} in place of a vector of rows of X, the first `count` of them.
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

/// `columns` columns of L, at most `width`, in place of those of M, from `first` on, where those from `from` on are of
/// L already and what is before them has been subtracted. Their squared pivots less 1 go into `excess`.
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

/// The columns first, ..., first + count - 1 of L in place of those of M, of which the columns before have been
/// subtracted. False unless I + M is positive definite.
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
