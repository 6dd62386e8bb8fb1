// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <concepts>
#include <type_traits>
#include <utility>

#include "crate/core/matrix.hpp"

namespace crate::detail {

constexpr int smaller_bound(int rows, int cols) {
  if (rows == Eigen::Dynamic) return cols;
  return cols == Eigen::Dynamic ? rows : (rows < cols ? rows : cols);
}

/// I + a W W^T or I + a W^T W, whichever is smaller, for W of size n x m, with its Cholesky factor. Both have the same
/// determinant, and both give W (I + a W^T W)^{-1} = (I + a W W^T)^{-1} W, so the cost is linear in the longer side.
/// Summed and factorised in double: a rate is a small difference of large logarithms.
template <class WDerived>
class RegularisedGram {
 public:
  RegularisedGram(const Eigen::MatrixBase<WDerived>& w, double a) : by_rows_(w.rows() <= w.cols()) {
    const Index n = by_rows_ ? w.rows() : w.cols();
    Gram<double> gram = Gram<double>::Identity(n, n);
    auto lower = gram.template selfadjointView<Eigen::Lower>();
    if constexpr (bound == 1)  // rankUpdate takes every vector for a column, and so a row for a larger Gram matrix
      gram(0, 0) += a * w.template cast<double>().squaredNorm();
    else if (by_rows_)
      for_each_piece(w.derived(), [&](const auto& piece) { lower.rankUpdate(in_double(piece), a); });
    else
      lower.rankUpdate(in_double(w.derived()).transpose(), a);
    factor_.compute(gram);
  }

  /// log det(I + a W^T W).
  [[nodiscard]] double log_determinant() const { return 2 * factor_.matrixLLT().diagonal().array().log().sum(); }

  /// Replaces W, from which this was made, by W (I + a W^T W)^{-1}. The inverse, which is never larger than I, is rounded to
  /// the scalar of W and multiplied: that moves the result about as much as the rounding of W does already.
  template <class W>
  void shrink_in_place(W&& w) const {
    const Index n = factor_.rows();
    const Gram<typename WDerived::Scalar> inverse =
        factor_.solve(Gram<double>::Identity(n, n)).template cast<typename WDerived::Scalar>();
    if (by_rows_)
      for_each_piece(w, [&](auto&& piece) { piece = inverse * piece; });
    else if constexpr (!surely_by_rows)
      w = w * inverse;
  }

  /// W (I + a W^T W)^{-1} for the W that this was made from.
  [[nodiscard]] Plain<WDerived> shrink(const Eigen::MatrixBase<WDerived>& w) const {
    Plain<WDerived> shrunk = w;
    shrink_in_place(shrunk);
    return shrunk;
  }

 private:
  static constexpr int bound = smaller_bound(WDerived::MaxRowsAtCompileTime, WDerived::MaxColsAtCompileTime);
  static constexpr bool surely_by_rows = WDerived::RowsAtCompileTime != Eigen::Dynamic &&
                                         WDerived::ColsAtCompileTime != Eigen::Dynamic &&
                                         WDerived::RowsAtCompileTime <= WDerived::ColsAtCompileTime;
  template <class S>
  using Gram = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, 0, bound, bound>;

  /// Calls body on so few columns at a time that a copy of them in double stays in cache.
  template <class W, class Body>
  static void for_each_piece(W& w, const Body& body) {
    constexpr Index piece_cols = 256;
    for (Index first = 0; first < w.cols(); first += piece_cols)
      body(w.middleCols(first, std::min(piece_cols, w.cols() - first)));
  }

  template <class W>
  static decltype(auto) in_double(const W& w) {
    if constexpr (std::same_as<typename W::Scalar, double>)
      return (w);
    else
      return w.template cast<double>().eval();
  }

  bool by_rows_;
  Eigen::LLT<Gram<double>> factor_;
};

}  // namespace crate::detail
