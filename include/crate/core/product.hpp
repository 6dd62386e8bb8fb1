// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"

namespace crate {

namespace detail {

// A piece of a product: small enough to give several threads work at 200 tokens, large enough that Eigen's packing of the
// operands stays within a few per cent of the time.
inline constexpr Index product_piece_rows = 96;
inline constexpr Index product_piece_cols = 256;

/// Calls body(first_row, rows, first_col, cols) on pieces that cover rows x cols.
template <class Body>
void for_each_product_piece(Index rows, Index cols, Threads& threads, const Body& body) {
  const Index down = (rows + product_piece_rows - 1) / product_piece_rows;
  const Index across = (cols + product_piece_cols - 1) / product_piece_cols;
  threads.for_each(down * across, [&](Index piece, int) {
    const Index row = piece % down * product_piece_rows, col = piece / down * product_piece_cols;
    body(row, std::min(product_piece_rows, rows - row), col, std::min(product_piece_cols, cols - col));
  });
}

}  // namespace detail

/// out = A B on several threads. `out` must not overlap A or B. The pieces depend on the size of `out` alone.
template <class A, class B, class Out>
void multiply(const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b, Eigen::MatrixBase<Out>& out,
              Threads& threads) {
  if constexpr (Out::SizeAtCompileTime != Eigen::Dynamic)
    out.noalias() = a * b;
  else
    detail::for_each_product_piece(out.rows(), out.cols(), threads, [&](Index row, Index rows, Index col, Index cols) {
      out.block(row, col, rows, cols).noalias() = a.middleRows(row, rows) * b.middleCols(col, cols);
    });
}

/// out += scale A B on several threads. `out` must not overlap A or B. The pieces depend on the size of `out` alone.
template <class A, class B, class Out>
void multiply_add(double scale, const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b,
                  Eigen::MatrixBase<Out>& out, Threads& threads) {
  const auto factor = static_cast<typename Out::Scalar>(scale);
  if constexpr (Out::SizeAtCompileTime != Eigen::Dynamic)
    out.noalias() += factor * (a * b);
  else
    detail::for_each_product_piece(out.rows(), out.cols(), threads, [&](Index row, Index rows, Index col, Index cols) {
      out.block(row, col, rows, cols).noalias() += factor * (a.middleRows(row, rows) * b.middleCols(col, cols));
    });
}

/// Calls body(first, count) on ranges of columns that cover all; for what acts on each token alone.
template <class Body>
void for_each_columns(Index cols, Threads& threads, const Body& body) {
  constexpr Index piece_cols = 32;
  threads.for_each_range(cols, piece_cols, [&](Index first, Index count, int) { body(first, count); });
}

}  // namespace crate
