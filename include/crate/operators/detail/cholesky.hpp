// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/product.hpp"
#include "crate/kernels/views.hpp"
#include "crate/operators/detail/plain_matrix.hpp"

// Symmetric matrices: M = a W W^T, the factor of G = I + M = L L^T, L^{-T} and G^{-1}. Columns of the factor are
// computed by a kernel, a few of the inverse one after the other; products of blocks do the rest. Every sum is one of
// the textbook's (Higham, "Accuracy and stability of numerical algorithms", 2002, sections 10.1 and 14.2) in an order
// of its own, so that its bounds hold.

namespace crate::detail {

/// So many columns of the factor, and of the inverse, are computed without products.
inline constexpr Index factor_block = 256, inverse_block = 32;

/// Matrices of fewer rows have none that fill a vector.
inline constexpr Index fewest_vector_rows = 8;

/// C += scale A B.
template <crate::Scalar S>
void add_view_product(S scale, MatrixView<const S> a, MatrixView<const S> b, MatrixView<S> c) {
  Threads alone;
  multiply<S>(Entries::all, a, b, c, {.scale = scale, .addend = as_const(c)}, alone);
}

/// M += a X X^T, of M what is below its diagonal and on it; above the diagonal it may hold anything.
template <crate::Scalar S>
void add_lower_gram(S a, MatrixView<const S> x, MatrixView<S> m) {
  Threads alone;
  multiply<S>(Entries::lower_triangle, x, x.transposed(), m, {.scale = a, .addend = as_const(m)}, alone);
}

/// The same in place, and of any scalar, for matrices so small that nothing is to be allocated for them.
template <crate::Scalar S>
void add_small_lower_gram(double a, MatrixView<const S> x, MatrixView<double> m) {
  for (Index k = 0; k < x.cols; ++k)
    for (Index j = 0; j < x.rows; ++j) {
      const double factor = a * static_cast<double>(*x.at(j, k));
      for (Index i = j; i < x.rows; ++i) *m.at(i, j) += factor * static_cast<double>(*x.at(i, k));
    }
}

/// y -= A x, four columns of A at a time, each in one piece (row_step 1).
template <crate::Scalar S>
void subtract_product(MatrixView<const S> a, const S* x, Index x_step, S* y) {
  eigen_assert(a.row_step == 1);
  const auto column = [&](Index k) { return Eigen::Map<const Vector<S>>(a.at(0, k), a.rows); };
  const auto factor = [&](Index k) { return x[k * x_step]; };
  Eigen::Map<Vector<S>> sum(y, a.rows);
  Index k = 0;
  for (; k + 4 <= a.cols; k += 4)
    sum -= factor(k) * column(k) + factor(k + 1) * column(k + 1) + factor(k + 2) * column(k + 2) +
           factor(k + 3) * column(k + 3);
  for (; k < a.cols; ++k) sum -= factor(k) * column(k);
}

/// The columns first, ..., first + count - 1 of L in place of those of M - L' L'^T, L' the columns before.
/// Columns are in one piece (row_step 1).
template <crate::Scalar S>
[[nodiscard]] bool factor_columns(MatrixView<S> m, Index first, Index count, S* excess) {
  for (Index j = first; j < first + count; ++j) {
    const MatrixView<const S> before{m.at(j, first), m.rows - j, j - first, m.row_step, m.col_step};
    subtract_product<S>(before, before.first, before.col_step, m.at(j, j));
    excess[j] = *m.at(j, j);
    if (!(excess[j] > -1)) return false;
    const S root = std::sqrt(1 + excess[j]);
    *m.at(j, j) = root;
    Eigen::Map<Vector<S>>(m.at(j, j) + 1, m.rows - j - 1) /= root;
  }
  return true;
}

/// The same of any number of columns: factors the first half, subtracts the product L' L'^T of its rows from the rest,
/// and factors the second half.
template <crate::Scalar S>
[[nodiscard]] bool factor_by_halves(MatrixView<S> m, Index first, Index count, S* excess, Index block) {
  if (count <= block && m.rows < fewest_vector_rows) return factor_columns(m, first, count, excess);
  if (count <= block)
    return with_kernels(instruction_set(), [&]<class K>(K) {
      return K::template factor_columns<S>({m.first, m.col_step}, m.rows, first, count, excess);
    });
  const Index half = (count / block + 1) / 2 * block, next = first + half, others = count - half;
  if (!factor_by_halves(m, first, half, excess, block)) return false;
  const MatrixView<const S> below{m.at(next, first), m.rows - next, half, m.row_step, m.col_step};
  const MatrixView<S> rest = m.block(next, next, m.rows - next, others);
  Threads alone;
  multiply<S>(Entries::lower_triangle, below, below.block(0, 0, others, half).transposed(), rest,
              {.scale = -1, .addend = as_const(rest)}, alone);
  return factor_by_halves(m, next, others, excess, block);
}

/// L in place of M, I + M = L L^T, both as add_lower_gram leaves it; `block` columns at a time without products. Rows B
/// below M become B L^{-T}. The squared pivots of L less their 1 go into `excess`, so that they lose nothing where M is
/// small: log det(I + M) is the sum of log1p of these. False unless I + M is positive definite.
template <crate::Scalar S>
[[nodiscard]] bool cholesky_in_place(MatrixView<S> m, S* excess, Index block) {
  return factor_by_halves(m, 0, m.cols, excess, block);
}

/// T = L^{-T}, zero below its diagonal: column after column of T L^T = I.
template <crate::Scalar S>
void invert_transposed(MatrixView<const S> l, MatrixView<S> t, Index block) {
  for (Index j = 0; j < l.rows; ++j)
    for (Index i = 0; i < l.rows; ++i) *t.at(i, j) = i == j ? 1 : 0;
  for (Index first = 0; first < l.rows; first += block) {
    const Index count = std::min(block, l.rows - first);
    if (first > 0) {
      const MatrixView<const S> before{t.first, first, first, t.row_step, t.col_step};
      add_view_product<S>(-1, before, l.block(first, 0, count, first).transposed(), t.block(0, first, first, count));
    }
    for (Index k = first; k < first + count; ++k) {
      for (Index j = first; j < k; ++j) add_scaled(-*l.at(k, j), t.at(0, j), j + 1, t.at(0, k));
      for (Index i = 0; i <= k; ++i) *t.at(i, k) /= *l.at(k, k);
    }
  }
}

/// G^{-1} in place of T = L^{-T}: column after column of G^{-1} L = T, from the last, and half of each by symmetry.
template <crate::Scalar S>
void inverse_in_place(MatrixView<const S> l, MatrixView<S> t, Index block) {
  const Index n = l.rows;
  for (Index end = n; end > 0;) {
    const Index first = (end - 1) / block * block, count = end - first;
    if (end < n) {
      const MatrixView<const S> behind{t.at(0, end), end, n - end, t.row_step, t.col_step};
      add_view_product<S>(-1, behind, l.block(end, first, n - end, count), t.block(0, first, end, count));
    }
    for (Index k = end - 1; k >= first; --k) {
      for (Index j = k + 1; j < end; ++j) add_scaled(-*l.at(j, k), t.at(0, j), k + 1, t.at(0, k));
      for (Index i = 0; i <= k; ++i) *t.at(i, k) /= *l.at(k, k);
    }
    end = first;
  }
  for (Index j = 0; j < n; ++j)
    for (Index i = j + 1; i < n; ++i) *t.at(i, j) = *t.at(j, i);
}

}  // namespace crate::detail
