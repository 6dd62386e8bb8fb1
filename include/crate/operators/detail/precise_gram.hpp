// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <string_view>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/detail/double_double.hpp"
#include "crate/operators/detail/plain_matrix.hpp"

// Rates and what becomes of tokens by their gradients, for tokens that are too badly conditioned for the Gram matrix in
// double: it holds eigenvalues up to a ||W||^2 beside the 1 on its diagonal, and rounds by 2^-53 of the former.

namespace crate::detail {

/// Half of one unit in the last place, relative; of DoubleDouble what its sums and products may err by.
template <class Real>
inline constexpr double unit_roundoff = std::same_as<Real, DoubleDouble>
                                            ? 0x1p-103
                                            : static_cast<double>(std::numeric_limits<Real>::epsilon()) / 2;

/// What the roundings of `count` terms that are added up come to, relative to the sum of their sizes: they fall to both
/// sides and so grow as the root (Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J.
/// Sci. Comput. 41, 2019; more than 4 deviations are not seen).
template <class Real>
[[nodiscard]] double rounding_of_sum(Index count) {
  return 4 * unit_roundoff<Real> * std::sqrt(static_cast<double>(count));
}

/// A number and a bound of its absolute error.
struct Estimate {
  double value;
  double error;

  /// False as well where either is not a number.
  [[nodiscard]] bool within(double relative) const { return error <= relative * value && std::isfinite(value); }
};

/// Throws OptionError, which names the operation, unless epsilon is one to which something can be coded.
inline void check_epsilon(std::string_view operation, double epsilon) {
  if (epsilon > 0 && std::isnormal(epsilon)) return;
  throw OptionError(concatenate(operation, ": expected ",
                                epsilon > 0 ? "a finite epsilon of at least 2.3e-308" : "epsilon > 0", ", found ",
                                epsilon));
}

/// dim, N and epsilon of a rate: the factor a = dim / (N epsilon^2), and its root, which is finite wherever epsilon is
/// normal.
struct RateScale {
  Index dim, tokens;
  double epsilon;

  [[nodiscard]] double factor() const {
    return static_cast<double>(dim) / (static_cast<double>(tokens) * epsilon * epsilon);
  }
  [[nodiscard]] double root() const {
    return std::sqrt(static_cast<double>(dim) / static_cast<double>(tokens)) / epsilon;
  }
};

/// G = I + a W W^T or I + a W^T W, whichever is smaller, as L D L^T in the arithmetic of Real. Pivots are kept less
/// their 1, so that short tokens lose nothing, and W is scaled before it is squared, so that nothing overflows that
/// need not.
///
/// Error bounds: the factors are those of G + E with |E_ij| <= c (M_ii M_jj)^{1/2}, M = G - I and
/// c = rounding_of_sum(m + n), and sums of squares of independent roundings stand for their moduli:
///   log det   || M_d^{1/2} G^{-1} M_d^{1/2} ||_F c            M_d, G_d: the diagonals
///   G^{-1} W  || |G^{-1}| G_d^{1/2} 1 || || 1^T G_d^{1/2} |G^{-1} W| || c
/// They grow with a ||W||^2 only as far as tokens are nearly dependent: rows of W may be as different in length as they
/// like.
template <class Real>
class PreciseGram {
 public:
  /// W is taken as exact up to errors of Frobenius norm `x_error` / a^{1/2}.
  PreciseGram(const PlainMatrix<Real>& w, const RateScale& scale, double x_error = 0)
      : PreciseGram(w, scale, x_error, w.rows() <= w.cols()) {}

  /// I + a W W^T if `by_rows`, I + a W^T W otherwise, whatever the shape.
  PreciseGram(const PlainMatrix<Real>& w, const RateScale& scale, double x_error, bool by_rows)
      : transposed_(!by_rows), root_(scale.root()), x_error_(x_error) {
    factor_ = std::frexp(root_, &exponent_);
    scaled_ = transposed_ ? w.transposed() : w;
    scaled_ *= std::ldexp(1.0, exponent_);
    ldlt_ = lower_gram(scaled_);
    ldlt_ *= factor_ * factor_;
    squares_.resize(order());
    for (Index i = 0; i < order(); ++i) squares_[i] = static_cast<double>(ldlt_(i, i));
    factorise();
    inverse_ = PlainMatrix<Real>(order(), order());
    for (Index i = 0; i < order(); ++i) inverse_(i, i) = 1;
    solve_in_place(inverse_);
  }

  /// log det G / 2.
  [[nodiscard]] Estimate rate() const {
    double rate = 0;
    for (Index i = 0; i < order(); ++i) rate += 0.5 * std::log1p(static_cast<double>(ldlt_(i, i)));
    const double by_gram = 0.5 * rounding() * norm_of_inverse(/*added=*/0);
    const auto size = static_cast<double>(order());
    const double slope =
        std::min(0.5, std::sqrt(squares_.sum() / size)) + x_error_;  // of R by a^{1/2} W, as in RegularisedGram
    return {rate, by_gram + slope * x_error_ + 4 * unit_roundoff<double> * rate};
  }

  /// W (I + a W^T W)^{-1}, with its Frobenius norm and the error of that norm.
  [[nodiscard]] std::pair<PlainMatrix<Real>, Estimate> shrunk() const {
    return scaled_back(std::ldexp(1.0, -exponent_));
  }

  /// a W (I + a W^T W)^{-1}.
  [[nodiscard]] std::pair<PlainMatrix<Real>, Estimate> gradient() const { return scaled_back(root_ * factor_); }

  /// dL/dW of F = (I + a W W^T)^{-1} W for the cotangent C of F, of a Gram matrix by rows: with H = G^{-1} C,
  ///   dL/dW = H - a (H F^T W + F C^T F).
  /// The error is stated beside ||C||_F, which it is to be compared with: dL/dW may vanish.
  [[nodiscard]] std::pair<PlainMatrix<Real>, Estimate> adjoint(const PlainMatrix<Real>& cotangent) const {
    PlainMatrix<Real> f = scaled_, h = cotangent;  // f is F with the powers of two and of a that scaled_ has
    solve_in_place(f);
    solve_in_place(h);
    PlainMatrix<Real> along_w = product(h, f.transposed()), along_f = product(f, cotangent.transposed());
    along_w *= factor_ * factor_;
    along_f *= factor_ * factor_;
    PlainMatrix<Real> result = h;
    add_product(-1, along_w, scaled_, result);
    add_product(-1, along_f, f, result);
    const double amplified = 1 + factor_ * frobenius_norm(f.rounded()) * std::sqrt((squares_.array() + 1).sum());
    const double size = frobenius_norm(cotangent.rounded());
    const double h_error = norm_of_columns(inverse_) * norm_of_columns(h);
    return {result, {size, distrust() * 4 * rounding() * amplified * (h_error + size)}};
  }

 private:
  [[nodiscard]] Index order() const { return ldlt_.rows(); }

  /// 1 while G^{-1} as computed is about right, so that bounds hold which are made of it; infinity otherwise.
  [[nodiscard]] double distrust() const {
    const bool right = rounding() * norm_of_inverse(/*added=*/1) < 0.1;
    return right ? 1 : std::numeric_limits<double>::infinity();
  }

  [[nodiscard]] double rounding() const { return rounding_of_sum<Real>(scaled_.rows() + scaled_.cols()); }

  /// || D^{1/2} G^{-1} D^{1/2} ||_F, D the diagonal of M with `added` on it.
  [[nodiscard]] double norm_of_inverse(double added) const {
    const Vector<double> d = (squares_.array() + added).sqrt();
    double sum = 0;
    for (Index j = 0; j < order(); ++j)
      for (Index i = 0; i < order(); ++i) {
        const double entry = d[i] * static_cast<double>(inverse_(i, j)) * d[j];
        sum += entry * entry;
      }
    return std::sqrt(sum);
  }

  /// || 1^T G_d^{1/2} |X| ||, G_d the diagonal of G.
  [[nodiscard]] double norm_of_columns(const PlainMatrix<Real>& x) const {
    const Vector<double> d = (squares_.array() + 1).sqrt();
    double sum = 0;
    for (Index j = 0; j < x.cols(); ++j) {
      double column = 0;
      for (Index i = 0; i < order(); ++i) column += d[i] * std::abs(static_cast<double>(x(i, j)));
      sum += column * column;
    }
    return std::sqrt(sum);
  }

  /// D - I on the diagonal, L below and L^T above it.
  void factorise() {
    for (Index j = 0; j < order(); ++j) {
      for (Index k = 0; k < j; ++k) ldlt_(k, j) = ldlt_(j, k) / (Real(1) + ldlt_(k, k));
      for (Index k = 0; k < j; ++k) add_scaled(-ldlt_(k, j), ldlt_.col(k) + j, order() - j, ldlt_.col(j) + j);
    }
    for (Index j = 0; j < order(); ++j)
      for (Index i = j + 1; i < order(); ++i) ldlt_(i, j) = ldlt_(j, i);
  }

  void solve_in_place(PlainMatrix<Real>& x) const {
    const Index size = order();
    for (Index j = 0; j < x.cols(); ++j) {
      Real* const column = x.col(j);
      for (Index k = 0; k < size; ++k) add_scaled(-column[k], ldlt_.col(k) + (k + 1), size - (k + 1), column + (k + 1));
      for (Index i = 0; i < size; ++i) column[i] /= Real(1) + ldlt_(i, i);
      for (Index k = size - 1; k >= 0; --k) add_scaled(-column[k], ldlt_.col(k), k, column);
    }
  }

  [[nodiscard]] std::pair<PlainMatrix<Real>, Estimate> scaled_back(const Real& by) const {
    PlainMatrix<Real> result = scaled_;
    solve_in_place(result);
    result *= by;
    const double size = frobenius_norm(result.rounded());
    const double by_gram = distrust() * rounding() * norm_of_columns(inverse_) * norm_of_columns(result);
    // The derivative of F = G^{-1} X by X is at most ||G^{-1}|| + ||F||^2 <= 2.
    const double by_tokens = 2 * x_error_ * static_cast<double>(by) / factor_;
    const double error = by_gram + by_tokens + 4 * unit_roundoff<double> * size;
    return {transposed_ ? result.transposed() : std::move(result), {size, error}};
  }

  bool transposed_;
  double root_;     // a^{1/2} = factor_ 2^exponent_
  double x_error_;  // of a^{1/2} W
  double factor_ = 0;
  int exponent_ = 0;
  PlainMatrix<Real> scaled_;  // m x n, m <= n
  PlainMatrix<Real> ldlt_, inverse_;
  Vector<double> squares_;  // the diagonal of M
};

/// What is thrown where no arithmetic at hand gives the rate, step or gradient of `w`, whose tokens are its columns.
template <crate::Scalar S>
[[nodiscard]] PrecisionError unreliable(const char* what, const Matrix<S>& w, double epsilon) {
  if (!w.allFinite()) return PrecisionError(concatenate(what, ": expected finite tokens, found nan or infinity"));
  double longest = 0;
  for (Index j = 0; j < w.cols(); ++j) longest = std::max(longest, frobenius_norm(w.middleCols(j, 1)));
  return PrecisionError(concatenate(what, ": tokens as long as ", longest, " are ", longest / epsilon,
                                    " times epsilon = ", epsilon,
                                    " and too nearly dependent for that: no digits would be left; expected "
                                    "a larger epsilon, or tokens of which none follows from the others"));
}

}  // namespace crate::detail
