// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

#include "crate/core/matrix.hpp"
#include "crate/operators/detail/precise_gram.hpp"

namespace crate::detail {

constexpr int smaller_bound(int rows, int cols) {
  if (rows == Eigen::Dynamic) return cols;
  return cols == Eigen::Dynamic ? rows : (rows < cols ? rows : cols);
}

/// How far from the truth, relative to it, results may be before they are computed in more digits; and even then.
template <Scalar S>
inline constexpr double rate_tolerance = std::same_as<S, float> ? 1e-4 : 1e-11;
template <Scalar S>
inline constexpr double step_tolerance = std::same_as<S, float> ? 1e-3 : 1e-10;
inline constexpr double last_tolerance = 1e-8;

/// I + a W W^T or I + a W^T W, whichever is smaller, for W of size n x m, with its Cholesky factor. Both have the same
/// determinant, and both give W (I + a W^T W)^{-1} = (I + a W W^T)^{-1} W, so the cost is linear in the longer side.
/// Summed and factorised in double: a rate is a small difference of large logarithms. What it gives is exact while
/// a ||W||^2 is moderate, or W far from singular, and is never to be used without its error; the bounds are those of
/// PreciseGram. With `always_by_rows` it is I + a W W^T whatever the shape.
template <class WDerived, bool always_by_rows = false>
class RegularisedGram {
  static constexpr int bound = always_by_rows
                                   ? WDerived::MaxRowsAtCompileTime
                                   : smaller_bound(WDerived::MaxRowsAtCompileTime, WDerived::MaxColsAtCompileTime);
  static constexpr bool surely_by_rows = always_by_rows || (WDerived::RowsAtCompileTime != Eigen::Dynamic &&
                                                            WDerived::ColsAtCompileTime != Eigen::Dynamic &&
                                                            WDerived::RowsAtCompileTime <= WDerived::ColsAtCompileTime);
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  template <class S>
  using Gram = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, 0, bound, bound>;
  using Diagonal = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, bound, 1>;

 public:
  RegularisedGram(const Eigen::MatrixBase<WDerived>& w, double a)
      : by_rows_(always_by_rows || w.rows() <= w.cols()), rounding_(rounding_of_sum<double>(w.rows() + w.cols())) {
    const Index n = by_rows_ ? w.rows() : w.cols();
    Gram<double> gram = Gram<double>::Identity(n, n);
    auto lower = gram.template selfadjointView<Eigen::Lower>();
    if constexpr (always_by_rows)
      gram.noalias() += a * (w.template cast<double>() * w.template cast<double>().transpose());
    else if constexpr (bound == 1)  // rankUpdate takes every vector for a column, and so a row for a larger Gram matrix
      gram(0, 0) += a * w.template cast<double>().squaredNorm();
    else if (by_rows_)
      for_each_piece(w.derived(), [&](const auto& piece) { lower.rankUpdate(in_double(piece), a); });
    else
      lower.rankUpdate(in_double(w.derived()).transpose(), a);
    diagonal_ = gram.diagonal();
    factor_.compute(gram);
    constexpr double largest_factor = 1e200;  // within, no square of W that counts has gone under
    sound_ = has_succeeded(factor_) && a >= 1 / largest_factor && a <= largest_factor && std::isfinite(diagonal_.sum());
  }

  /// log det(I + a W^T W) / 2, for W that is exact up to errors of Frobenius norm `x_error` / a^{1/2}. The error is
  /// bounded by the diagonal alone, as G^{-1} <= I; unless that is within `tolerance`, by the factor, which costs about
  /// what the factor did.
  [[nodiscard]] Estimate rate(double tolerance, double x_error = 0) const {
    const double value = factor_.matrixLLT().diagonal().array().log().sum();
    const double size = std::sqrt(static_cast<double>(diagonal_.size())) * diagonal_.maxCoeff();
    const Estimate rate{value, error_of_rate(size, x_error)};
    if (!sound_ || rate.within(tolerance)) return rate;
    Gram<double> root = diagonal_.cwiseSqrt().asDiagonal();
    factor_.matrixL().solveInPlace(root);
    return {value, error_of_rate(std::min(size, root.squaredNorm()), x_error)};
  }

  /// What W (I + a W^T W)^{-1} is made with: the inverse, which is never larger than I, rounded to the scalar of W.
  struct Shrinking {
    Gram<typename WDerived::Scalar> inverse;
    double size;    ///< about ||a^{1/2} W (I + a W^T W)^{-1}||_F, or less
    double error;   ///< a bound of what that is wrong by
    double tokens;  ///< a^{1/2} ||W||_F
    double slope;   ///< a bound of ||d size|| / ||d tokens||
  };

  [[nodiscard]] Shrinking shrinking() const {
    using S = typename WDerived::Scalar;
    const Index n = factor_.rows();
    const Gram<double> inverse = factor_.solve(Gram<double>::Identity(n, n));
    const Diagonal d = diagonal_.cwiseSqrt();
    const double energy = std::max(0.0, diagonal_.sum() - static_cast<double>(n));  // a ||W||^2
    // ||G^{-1} X||_F^2 = tr G^{-1} - ||G^{-1}||_F^2, unless that cancels; and its largest eigenvalue alone gives a
    // bound.
    const double square = inverse.trace() - inverse.squaredNorm();
    const double size = std::max(square > 1e-6 ? std::sqrt(square) : 0.0, std::sqrt(energy) / (1 + energy));
    const double right = (inverse * d.asDiagonal()).norm();
    const double both = (d.asDiagonal() * inverse * d.asDiagonal()).norm();
    // Bounds by G^{-1} as computed hold while it is about right.
    const double error = rounding_ * both < 0.1 ? right * (rounding_of_sum<S>(n) + rounding_ * both) : infinity;
    // X of norm below 1 leaves G^{-1} X as exact as X.
    const double sure = energy <= 1 ? 0 : error;
    return {inverse.template cast<S>(), size, sound_ ? sure : infinity, std::sqrt(energy),
            2 * std::min(1.0, inverse.norm())};
  }

  /// Replaces W, from which this was made, by W (I + a W^T W)^{-1}.
  template <class W>
  void shrink_in_place(W&& w, const Shrinking& shrinking) const {
    if (by_rows_)
      for_each_piece(w, [&](auto&& piece) { piece = shrinking.inverse * piece; });
    else if constexpr (!surely_by_rows)
      w = w * shrinking.inverse;
  }

 private:
  /// dR/dX = G^{-1} X is nowhere larger than X, nor any of its singular values than 1/2; roundings of different rows of
  /// X are independent, and so seen by that over n^{1/2}.
  [[nodiscard]] double error_of_rate(double size, double x_error) const {
    if (!sound_) return infinity;
    const auto n = static_cast<double>(diagonal_.size());
    const double energy = diagonal_.sum() - n + rounding_ * n;  // a ||W||^2, or more
    return rounding_ / 2 * size + (std::sqrt(std::min(0.25, energy / n)) + x_error) * x_error;
  }

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
  bool sound_ = false;
  double rounding_;
  Diagonal diagonal_;  // of the Gram matrix
  Eigen::LLT<Gram<double>> factor_;
};

}  // namespace crate::detail
