// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <type_traits>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"

namespace crate {

namespace detail {

// Pieces of a product: small enough to give several threads work at 200 tokens, large enough that Eigen's packing of the
// operands stays within a few per cent of the time. Every piece packs its columns of B anew, so where there are many columns
// fewer, taller pieces are faster.
inline constexpr Index product_piece_cols = 256;
inline constexpr Index product_piece_rows(Index cols) { return cols < 4 * product_piece_cols ? 96 : 384; }

/// Calls body(first_row, rows, first_col, cols) on pieces that cover rows x cols.
template <class Body>
void for_each_product_piece(Index rows, Index cols, Threads& threads, const Body& body) {
  const Index piece_rows = product_piece_rows(cols);
  const Index down = (rows + piece_rows - 1) / piece_rows;
  const Index across = (cols + product_piece_cols - 1) / product_piece_cols;
  threads.for_each(down * across, [&](Index piece, int) {
    const Index row = piece % down * piece_rows, col = piece / down * product_piece_cols;
    body(row, std::min(piece_rows, rows - row), col, std::min(product_piece_cols, cols - col));
  });
}

/// out = A B if assign, else out += scale A B.
template <class A, class B, class Out>
void multiply_pieces(bool assign, typename Out::Scalar scale, const A& a, const B& b, Out& out, Threads& threads) {
  for_each_product_piece(out.rows(), out.cols(), threads, [&](Index row, Index rows, Index col, Index cols) {
    auto piece = out.block(row, col, rows, cols);
    if (assign) piece.setZero();  // as Eigen does for a product that is assigned; so both share their code
    piece.noalias() += scale * (a.middleRows(row, rows) * b.middleCols(col, cols));
  });
}

/// Whether the entries lie in memory, column after column or row after row, in sizes known at run time alone.
template <class M>
inline constexpr bool is_run_time_matrix =
    (M::Flags & Eigen::DirectAccessBit) != 0 && M::InnerStrideAtCompileTime == 1 &&
    M::MaxRowsAtCompileTime == Eigen::Dynamic&& M::MaxColsAtCompileTime == Eigen::Dynamic;

/// A view that forgets what kind of matrix it looks at, so that all products of one scalar share their code.
template <class M>
auto plain_view(const M& matrix) {
  constexpr auto order = M::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor;
  using Viewed = Eigen::Matrix<typename M::Scalar, Eigen::Dynamic, Eigen::Dynamic, order>;
  return Eigen::Map<const Viewed, 0, Eigen::OuterStride<>>(matrix.data(), matrix.rows(), matrix.cols(),
                                                           Eigen::OuterStride<>(matrix.outerStride()));
}

template <class A, class B, class Out>
void multiply(bool assign, typename Out::Scalar scale, const A& a, const B& b, Out& out, Threads& threads) {
  if constexpr (is_run_time_matrix<Out> && Out::IsRowMajor) {
    auto transposed = out.transpose();
    multiply(assign, scale, b.transpose(), a.transpose(), transposed, threads);
  } else if constexpr (is_run_time_matrix<A> && is_run_time_matrix<B> && is_run_time_matrix<Out>) {
    Eigen::Map<Matrix<typename Out::Scalar>, 0, Eigen::OuterStride<>> result(out.data(), out.rows(), out.cols(),
                                                                             Eigen::OuterStride<>(out.outerStride()));
    multiply_pieces(assign, scale, plain_view(a), plain_view(b), result, threads);
  } else {
    multiply_pieces(assign, scale, a, b, out, threads);
  }
}

}  // namespace detail

/// out = A B on several threads. `out` must not overlap A or B. It is cut into pieces by its size alone, so that any number
/// of threads gives the same bits.
template <class A, class B, class Out>
void multiply(const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b, Eigen::MatrixBase<Out>& out,
              Threads& threads) {
  if constexpr (Out::SizeAtCompileTime != Eigen::Dynamic)
    out.noalias() = a * b;
  else
    detail::multiply(true, 1, a.derived(), b.derived(), out.derived(), threads);
}

/// out += scale A B on several threads, as multiply.
template <class A, class B, class Out>
void multiply_add(double scale, const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b,
                  Eigen::MatrixBase<Out>& out, Threads& threads) {
  const auto factor = static_cast<typename Out::Scalar>(scale);
  if constexpr (Out::SizeAtCompileTime != Eigen::Dynamic)
    out.noalias() += factor * (a * b);
  else
    detail::multiply(false, factor, a.derived(), b.derived(), out.derived(), threads);
}

/// Calls body(first, count) on ranges of columns that cover all; for what acts on each token alone.
template <class Body>
void for_each_columns(Index cols, Threads& threads, const Body& body) {
  constexpr Index piece_cols = 32;
  threads.for_each_range(cols, piece_cols, [&](Index first, Index count, int) { body(first, count); });
}

}  // namespace crate
