// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>

#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/kernels/views.hpp"
#include "crate/operators/detail/cholesky.hpp"
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

/// What W (I + a W^T W)^{-1} is made with: the inverse, which is never larger than I, rounded to the scalar of W.
template <crate::Scalar S, int bound>
struct Shrinking {
  Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, 0, bound, bound> inverse;
  double size;    ///< about ||a^{1/2} W (I + a W^T W)^{-1}||_F, or less
  double error;   ///< a bound of what that is wrong by
  double tokens;  ///< a^{1/2} ||W||_F
  double slope;   ///< a bound of ||d size|| / ||d tokens||
};

/// The arithmetic in which W W^T is summed: double, or the scalar of W. All that follows is in double.
template <crate::Scalar Sum>
using SummedIn = std::type_identity<Sum>;

/// Vectors of standard normal numbers, a row each, by which the norm of a matrix of at most so many columns is
/// estimated.
inline constexpr Index probe_count = 8, longest_probe = 2048;
[[nodiscard]] inline const Matrix<double>& probes() {
  static const Matrix<double> drawn = [] {
    Random random(1);
    Matrix<double> numbers(probe_count, longest_probe);
    random.fill_normal(numbers);
    return numbers;
  }();
  return drawn;
}

/// I + a W W^T, or I + a W^T W if not `by_rows`, for W of size n x m, with its Cholesky factor. Both have the same
/// determinant, and both give W (I + a W^T W)^{-1} = (I + a W W^T)^{-1} W, so that with the smaller one the cost is
/// linear in the longer side. Factorised in double, and summed in it by default: a rate is a small difference of large
/// logarithms. It may be summed in float for its rate alone, and then its bounds are those of float's rounding; a Gram
/// matrix of bounded order is summed in double even so. What it gives is exact while a ||W||^2 is moderate, or W far
/// from singular, and is never to be used without its error; the bounds are those of PreciseGram.
/// `bound` is the largest order that is possible; if it is known, nothing is allocated.
template <int bound>
class RegularisedGram {
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  static constexpr bool is_small = bound != Eigen::Dynamic;
  using Gram = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, 0, bound, bound>;
  using Diagonal = Eigen::Matrix<double, Eigen::Dynamic, 1, 0, bound, 1>;

 public:
  template <crate::Scalar Sum, crate::Scalar S>
  requires std::same_as<Sum, double> || std::same_as<Sum, S> RegularisedGram(SummedIn<Sum> sum, MatrixView<const S> w,
                                                                             double a, bool by_rows)
      : by_rows_(by_rows),
        rounding_(rounding_of_sum<Sum>(w.rows + w.cols)),
        underflow_(a * static_cast<double>(w.rows * w.cols) *
                   static_cast<double>(std::numeric_limits<Sum>::denorm_min())),
        probes_(is_probed<Sum> && order_of(w, by_rows) <= longest_probe ? probe_count : 0),
        factor_(order_of(w, by_rows) + probes_, order_of(w, by_rows)) {
    set_gram(sum, a, w);
    squares_ = factor_.diagonal();
    if (probes_ > 0) factor_.bottomRows(probes_) = probes().leftCols(order()) * squares_.cwiseSqrt().asDiagonal();
    excess_.resize(order());
    const bool is_positive = cholesky_in_place<double>(view_of<double>(factor_), excess_.data(), block(factor_block));
    constexpr double largest_factor = 1e200;  // within, no square of W that counts beside 1 has underflowed
    sound_ = is_positive && a >= 1 / largest_factor && a <= largest_factor && std::isfinite(squares_.sum());
  }

  /// log det(I + a W^T W) / 2, for W that is exact up to errors of Frobenius norm `x_error` / a^{1/2}. The error is
  /// bounded by the diagonal alone, as G^{-1} <= I; unless that is within `tolerance`, by the factor, which costs about
  /// what the factor did; for a Gram matrix summed in the scalar of W, by probes. Short tokens lose nothing, unless
  /// they are so short that their squares underflow.
  [[nodiscard]] Estimate rate(double tolerance, double x_error = 0) const {
    if (!sound_) return {0, infinity};
    double value = 0, largest = 0;
    for (Index i = 0; i < order(); ++i) {
      value += std::log1p(excess_[i]) / 2;
      largest = std::max(largest, squares_[i]);
    }
    const double size = std::sqrt(static_cast<double>(order())) * largest;
    const Estimate rate{value, error_of_rate(value, size, x_error)};
    if (rate.within(tolerance)) return rate;
    const double by_factor = probes_ > 0 ? probed_square_of_root() : square_of_root();
    return {value, error_of_rate(value, std::min(size, by_factor), x_error)};
  }

  template <crate::Scalar S>
  [[nodiscard]] Shrinking<S, bound> shrinking() const {
    Gram inverse = transposed_inverse_factor();
    inverse_in_place<double>(factor(), view_of<double>(inverse), block(inverse_block));
    const Norms norms = norms_of(inverse);
    const double energy = squares_.sum();  // a ||W||^2
    // ||G^{-1} X||_F^2 = tr G^{-1} - ||G^{-1}||_F^2, unless that cancels; and its largest eigenvalue alone gives a
    // bound.
    const double square = norms.trace - norms.square;
    const double size = std::max(square > 1e-6 ? std::sqrt(square) : 0.0, std::sqrt(energy) / (1 + energy));
    // Bounds by G^{-1} as computed hold while it is about right.
    const double error =
        rounding_ * norms.both < 0.1 ? norms.right * (rounding_of_sum<S>(order()) + rounding_ * norms.both) : infinity;
    // X of norm below 1 leaves G^{-1} X as exact as X.
    const double sure = energy <= 1 ? 0 : error;
    return {inverse.template cast<S>(), size, sound_ ? sure : infinity, std::sqrt(energy),
            2 * std::min(1.0, std::sqrt(norms.square))};
  }

  /// Replaces W, from which this was made, by W (I + a W^T W)^{-1}.
  template <crate::Scalar S>
  void shrink_in_place(Tokens<S> w, const Shrinking<S, bound>& shrinking) const {
    Threads alone;
    if (by_rows_) {
      for_each_piece(w.cols(), [&](Index first, Index cols) {
        auto piece = w.middleCols(first, cols);
        const Matrix<S> copy = piece;
        multiply(shrinking.inverse, copy, piece, alone);
      });
    } else {
      const Matrix<S> copy = w;
      multiply(copy, shrinking.inverse, w, alone);
    }
  }

  /// The same without allocating, of sizes that are known at compile time or bounded, fewer rows than columns if known.
  template <class W>
  void shrink_small_in_place(W&& w, const Shrinking<typename std::decay_t<W>::Scalar, bound>& shrinking) const {
    constexpr int rows = std::decay_t<W>::RowsAtCompileTime, cols = std::decay_t<W>::ColsAtCompileTime;
    constexpr bool surely_by_rows = rows != Eigen::Dynamic && cols != Eigen::Dynamic && rows <= cols;
    if (by_rows_)
      for_each_piece(w.cols(), [&](Index first, Index count) {
        w.middleCols(first, count) = shrinking.inverse * w.middleCols(first, count);
      });
    else if constexpr (!surely_by_rows)
      w = w * shrinking.inverse;
  }

 private:
  template <crate::Scalar S>
  [[nodiscard]] static Index order_of(MatrixView<const S> w, bool by_rows) {
    return by_rows ? w.rows : w.cols;
  }
  /// Whether probes estimate the error, as bounds of float would be too wide.
  template <crate::Scalar Sum>
  static constexpr bool is_probed = !is_small && !std::same_as<Sum, double>;

  [[nodiscard]] Index order() const { return factor_.cols(); }
  [[nodiscard]] MatrixView<double> factor() { return view_of<double>(factor_).block(0, 0, order(), order()); }
  [[nodiscard]] MatrixView<const double> factor() const {
    return view_of<const double>(factor_).block(0, 0, order(), order());
  }
  [[nodiscard]] Index block(Index large) const { return is_small ? std::max<Index>(1, order()) : large; }

  /// The lower triangle of a W W^T or a W^T W in that of the factor.
  template <crate::Scalar Sum, crate::Scalar S>
  void set_gram(SummedIn<Sum>, double a, MatrixView<const S> w) {
    if constexpr (is_small) {
      factor_.setZero();
      add_small_lower_gram<S>(a, by_rows_ ? w : w.transposed(), factor());
    } else if constexpr (std::same_as<Sum, double>) {
      factor_.setZero();
      add_gram(a, w, factor());
    } else {
      set_gram_in_scalar(a, w);
    }
  }

  /// gram += a W W^T or a W^T W, summed in double: of float tokens, so few columns at a time that these in double stay
  /// in cache.
  template <crate::Scalar S>
  void add_gram(double a, MatrixView<const S> w, MatrixView<double> gram) const {
    if constexpr (std::same_as<S, double>) {
      add_lower_gram<double>(a, by_rows_ ? w : w.transposed(), gram);
    } else if (by_rows_) {
      for_each_piece(w.cols, [&](Index first, Index cols) {
        const Matrix<double> piece = in_double(w.block(0, first, w.rows, cols));
        add_lower_gram<double>(a, view_of<const double>(piece), gram);
      });
    } else {
      const Matrix<double> whole = in_double(w);
      add_lower_gram<double>(a, view_of<const double>(whole).transposed(), gram);
    }
  }

  /// The same in place of the factor, summed in S.
  template <crate::Scalar S>
  void set_gram_in_scalar(double a, MatrixView<const S> w) {
    const MatrixView<const S> x = by_rows_ ? w : w.transposed();
    Threads alone;
    Matrix<S> sums(order(), order());
    multiply<S>(Entries::lower_triangle, x, x.transposed(), view_of<S>(sums), {}, alone);
    for (Index j = 0; j < order(); ++j)
      factor_.col(j).segment(j, order() - j) = a * sums.col(j).tail(order() - j).template cast<double>();
  }

  /// Calls body(first, count) on so few columns at a time that a copy of them in double stays in cache.
  template <class Body>
  static void for_each_piece(Index cols, const Body& body) {
    constexpr Index piece_cols = 256;
    for (Index first = 0; first < cols; first += piece_cols) body(first, std::min(piece_cols, cols - first));
  }

  [[nodiscard]] static Matrix<double> in_double(MatrixView<const float> w) {
    Matrix<double> result(w.rows, w.cols);
    for (Index j = 0; j < w.cols; ++j)
      result.col(j) =
          Eigen::Map<const Vector<float>, 0, Eigen::InnerStride<>>(w.at(0, j), w.rows, Eigen::InnerStride<>(w.row_step))
              .template cast<double>();
    return result;
  }

  /// dR/dX = G^{-1} X is nowhere larger than X, nor any of its singular values than 1/2; roundings of different rows of
  /// X are independent, and so seen by that over n^{1/2}.
  [[nodiscard]] double error_of_rate(double value, double size, double x_error) const {
    const double energy = squares_.sum();  // a ||W||^2
    const double slope = std::sqrt(std::min(0.25, energy / static_cast<double>(order()))) + x_error;
    return rounding_ / 2 * size + slope * x_error + 4 * unit_roundoff<double> * value + underflow_;
  }

  [[nodiscard]] Gram transposed_inverse_factor() const {
    Gram inverse(order(), order());
    invert_transposed<double>(factor(), view_of<double>(inverse), block(inverse_block));
    return inverse;
  }

  /// || L^{-1} D^{1/2} ||_F^2, D the diagonal of M.
  [[nodiscard]] double square_of_root() const {
    const Gram inverse = transposed_inverse_factor();
    const Diagonal d = squares_.cwiseSqrt();
    double sum = 0;
    for (Index j = 0; j < order(); ++j)
      for (Index i = 0; i <= j; ++i) {
        const double entry = d[i] * inverse(i, j);
        sum += entry * entry;
      }
    return sum;
  }

  /// At least || D^{1/2} G^{-1} D^{1/2} ||_F, D the diagonal of M, in all but one of 7000 draws of the probes g: 16
  /// times the mean of || L^{-1} D^{1/2} g ||^2, whose expectation is square_of_root(). It falls short most
  /// easily where all but one singular value vanish; then the mean is a chi-squared of 8 degrees. The last rows of the
  /// factor are the L^{-1} D^{1/2} g.
  [[nodiscard]] double probed_square_of_root() const {
    constexpr double for_sure = 16;
    return for_sure / static_cast<double>(probes_) * factor_.bottomRows(probes_).squaredNorm();
  }

  /// Of G^{-1}, with D the diagonal of G.
  struct Norms {
    double trace = 0, square = 0;  ///< tr G^{-1}, || G^{-1} ||_F^2
    double right = 0, both = 0;    ///< || G^{-1} D^{1/2} ||_F, || D^{1/2} G^{-1} D^{1/2} ||_F
  };

  [[nodiscard]] Norms norms_of(const Gram& inverse) const {
    const Diagonal d = (squares_.array() + 1).sqrt();
    Norms norms;
    for (Index j = 0; j < order(); ++j) {
      norms.trace += inverse(j, j);
      for (Index i = 0; i < order(); ++i) {
        const double entry = inverse(i, j), right = entry * d[j], both = d[i] * right;
        norms.square += entry * entry;
        norms.right += right * right;
        norms.both += both * both;
      }
    }
    norms.right = std::sqrt(norms.right);
    norms.both = std::sqrt(norms.both);
    return norms;
  }

  bool by_rows_;
  bool sound_ = false;
  double rounding_,
      underflow_;     // of sums of squares: relative to their sizes, and what is lost below the smallest number
  Index probes_;      // rows of the factor below L
  Gram factor_;       // M = G - I, and then L on and below its diagonal
  Diagonal squares_;  // the diagonal of M
  Diagonal excess_;   // the squared pivots of L less their 1
};

/// The Gram matrix of W, the smaller one, without allocations if its order is bounded at compile time.
template <crate::Scalar Sum = double, class WDerived>
[[nodiscard]] auto regularised_gram(const Eigen::MatrixBase<WDerived>& w, double a) {
  constexpr int bound = is_bounded<WDerived>
                            ? smaller_bound(WDerived::MaxRowsAtCompileTime, WDerived::MaxColsAtCompileTime)
                            : Eigen::Dynamic;
  using S = typename WDerived::Scalar;
  return RegularisedGram<bound>(SummedIn<Sum>{}, view_of<const S>(w.derived()), a, w.rows() <= w.cols());
}

/// Replaces W by W (I + a W^T W)^{-1}, by its Gram matrix.
template <int bound, class W>
void shrink_in_place(const RegularisedGram<bound>& gram, const Shrinking<typename std::decay_t<W>::Scalar, bound>& by,
                     W&& w) {
  if constexpr (bound == Eigen::Dynamic)
    gram.template shrink_in_place<typename std::decay_t<W>::Scalar>(w, by);
  else
    gram.shrink_small_in_place(w, by);
}

}  // namespace crate::detail
