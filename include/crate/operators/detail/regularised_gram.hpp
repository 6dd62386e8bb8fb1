// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Cholesky>
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
/// Everything is in double: a rate is a small difference of large logarithms.
template <class WDerived>
class RegularisedGram {
 public:
  RegularisedGram(const Eigen::MatrixBase<WDerived>& w, double a) : by_rows_(w.rows() <= w.cols()) {
    const auto& wide = in_double(w);
    const Index n = by_rows_ ? w.rows() : w.cols();
    Gram gram = Gram::Identity(n, n);
    if (by_rows_)
      gram.template selfadjointView<Eigen::Lower>().rankUpdate(wide, a);
    else
      gram.template selfadjointView<Eigen::Lower>().rankUpdate(wide.transpose(), a);
    factor_.compute(gram);
  }

  /// log det(I + a W^T W).
  [[nodiscard]] double log_determinant() const { return 2 * factor_.matrixLLT().diagonal().array().log().sum(); }

  /// W (I + a W^T W)^{-1} for the W that this was made from.
  [[nodiscard]] Plain<WDerived> shrink(const Eigen::MatrixBase<WDerived>& w) const {
    Wide shrunk = w.template cast<double>();
    if (by_rows_)
      factor_.solveInPlace(shrunk);
    else
      factor_.solveInPlace(shrunk.transpose());
    return shrunk.template cast<typename WDerived::Scalar>();
  }

 private:
  static constexpr int bound = smaller_bound(WDerived::MaxRowsAtCompileTime, WDerived::MaxColsAtCompileTime);
  using Gram = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, bound, bound>;
  using Wide = Plain<std::decay_t<decltype(std::declval<const WDerived&>().template cast<double>())>>;

  static decltype(auto) in_double(const Eigen::MatrixBase<WDerived>& w) {
    if constexpr (std::same_as<typename WDerived::Scalar, double>)
      return (w.derived());
    else
      return Wide(w.template cast<double>());
  }

  bool by_rows_;
  Eigen::LLT<Gram> factor_;
};

}  // namespace crate::detail
