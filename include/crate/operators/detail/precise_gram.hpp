// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/detail/double_double.hpp"

// Rates and what becomes of tokens by their gradients, for tokens that are too badly conditioned for the Gram matrix in
// double: it holds eigenvalues up to a ||W||^2 beside the 1 on its diagonal, and rounds by 2^-53 of the former.

namespace crate::detail {

template <class Real>
using MatrixOf = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;

/// Half of one unit in the last place, relative; of DoubleDouble what its sums and products may err by.
template <class Real>
inline constexpr double unit_roundoff =
    std::same_as<Real, DoubleDouble> ? 0x1p-103 : double{std::numeric_limits<Real>::epsilon()} / 2;

/// What the roundings of `count` terms that are added up come to, relative to the sum of their sizes: they fall to both
/// sides and so grow as the root (Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J.
/// Sci. Comput. 41, 2019; more than 4 deviations are not seen).
template <class Real>
[[nodiscard]] double rounding_of_sum(Index count) {
  return 4 * unit_roundoff<Real> * std::sqrt(static_cast<double>(count));
}

/// ||M||_F, whose squares neither overflow nor underflow.
template <class M>
[[nodiscard]] double frobenius_norm(const Eigen::MatrixBase<M>& matrix) {
  const double largest = matrix.template cast<double>().cwiseAbs().maxCoeff();
  if (!std::isnormal(largest)) return largest;
  return largest * (matrix.template cast<double>() / largest).norm();
}

/// A number and a bound of its absolute error.
struct Estimate {
  double value;
  double error;

  /// False as well where either is not a number.
  [[nodiscard]] bool within(double relative) const { return error <= relative * value && std::isfinite(value); }
};

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
  PreciseGram(const MatrixOf<Real>& w, const RateScale& scale, double x_error = 0)
      : PreciseGram(w, scale, x_error, w.rows() <= w.cols()) {}

  /// I + a W W^T if `by_rows`, I + a W^T W otherwise, whatever the shape.
  PreciseGram(const MatrixOf<Real>& w, const RateScale& scale, double x_error, bool by_rows)
      : transposed_(!by_rows), root_(scale.root()), x_error_(x_error) {
    factor_ = std::frexp(root_, &exponent_);
    const Real power = std::ldexp(1.0, exponent_);
    if (transposed_)
      scaled_ = power * w.transpose();
    else
      scaled_ = power * w;
    ldlt_.noalias() = scaled_ * scaled_.transpose();
    ldlt_ *= Real(factor_ * factor_);
    squares_ = ldlt_.diagonal().template cast<double>();
    factorise();
    inverse_ = MatrixOf<Real>::Identity(ldlt_.rows(), ldlt_.cols());
    solve_in_place(inverse_);
  }

  /// log det G / 2.
  [[nodiscard]] Estimate rate() const {
    double rate = 0;
    for (Index i = 0; i < ldlt_.rows(); ++i) rate += 0.5 * std::log1p(static_cast<double>(ldlt_(i, i)));
    const Vector<double> d = squares_.cwiseSqrt();
    const MatrixOf<double> inverse = inverse_.template cast<double>();
    const double by_gram = 0.5 * rounding() * (d.asDiagonal() * inverse * d.asDiagonal()).norm();
    const auto size = static_cast<double>(d.size());
    const double slope =
        std::min(0.5, d.norm() / std::sqrt(size)) + x_error_;  // of R by a^{1/2} W, as in RegularisedGram
    return {rate, by_gram + slope * x_error_ + 4 * unit_roundoff<double> * rate};
  }

  /// W (I + a W^T W)^{-1}, with its Frobenius norm and the error of that norm.
  [[nodiscard]] std::pair<MatrixOf<Real>, Estimate> shrunk() const {
    return scaled_back(Real(std::ldexp(1.0, -exponent_)));
  }

  /// a W (I + a W^T W)^{-1}.
  [[nodiscard]] std::pair<MatrixOf<Real>, Estimate> gradient() const { return scaled_back(Real(root_ * factor_)); }

  /// dL/dW of F = (I + a W W^T)^{-1} W for the cotangent C of F, of a Gram matrix by rows: with H = G^{-1} C,
  ///   dL/dW = H - a (H F^T W + F C^T F).
  /// The error is stated beside ||C||_F, which it is to be compared with: dL/dW may vanish.
  [[nodiscard]] std::pair<MatrixOf<Real>, Estimate> adjoint(const MatrixOf<Real>& cotangent) const {
    MatrixOf<Real> f = scaled_, h = cotangent;  // f is F with the powers of two and of a that scaled_ has
    solve_in_place(f);
    solve_in_place(h);
    const Real rest = factor_ * factor_;
    const MatrixOf<Real> along_w = h * f.transpose(), along_f = f * cotangent.transpose();
    const MatrixOf<Real> result = h - rest * (along_w * scaled_ + along_f * f);
    const Vector<double> d = (squares_.array() + 1).sqrt();
    const double amplified = 1 + factor_ * frobenius_norm(f.template cast<double>()) * d.norm();
    const double size = frobenius_norm(cotangent.template cast<double>());
    const MatrixOf<double> inverse = inverse_.template cast<double>().cwiseAbs();
    const double h_error = (inverse * d).norm() * (d.transpose() * h.template cast<double>().cwiseAbs()).norm();
    return {result, {size, distrust() * 4 * rounding() * amplified * (h_error + size)}};
  }

 private:
  /// 1 while G^{-1} as computed is about right, so that bounds hold which are made of it; infinity otherwise.
  [[nodiscard]] double distrust() const {
    const Vector<double> d = (squares_.array() + 1).sqrt();
    const MatrixOf<double> inverse = inverse_.template cast<double>();
    const bool right = rounding() * (d.asDiagonal() * inverse * d.asDiagonal()).norm() < 0.1;
    return right ? 1 : std::numeric_limits<double>::infinity();
  }

  [[nodiscard]] double rounding() const { return rounding_of_sum<Real>(scaled_.rows() + scaled_.cols()); }

  /// D - I on the diagonal, L D below and L^T above it.
  void factorise() {
    for (Index j = 0; j < ldlt_.cols(); ++j) {
      for (Index k = 0; k < j; ++k) ldlt_(k, j) = ldlt_(j, k) / (Real(1) + ldlt_(k, k));
      for (Index k = 0; k < j; ++k)
        for (Index i = j; i < ldlt_.rows(); ++i) ldlt_(i, j) -= ldlt_(i, k) * ldlt_(k, j);
    }
  }

  void solve_in_place(MatrixOf<Real>& x) const {
    const Index size = ldlt_.rows();
    for (Index j = 0; j < x.cols(); ++j) {
      for (Index i = 0; i < size; ++i)
        for (Index k = 0; k < i; ++k) x(i, j) -= ldlt_(k, i) * x(k, j);
      for (Index i = 0; i < size; ++i) x(i, j) /= Real(1) + ldlt_(i, i);
      for (Index i = size - 1; i >= 0; --i)
        for (Index k = 0; k < i; ++k) x(k, j) -= ldlt_(k, i) * x(i, j);
    }
  }

  [[nodiscard]] std::pair<MatrixOf<Real>, Estimate> scaled_back(const Real& by) const {
    MatrixOf<Real> result = scaled_;
    solve_in_place(result);
    result *= by;
    const Vector<double> d = (squares_.array() + 1).sqrt();
    const MatrixOf<double> sizes = result.template cast<double>().cwiseAbs();
    const MatrixOf<double> inverse = inverse_.template cast<double>().cwiseAbs();
    const double size = frobenius_norm(sizes);
    const double by_gram = distrust() * rounding() * (inverse * d).norm() * (d.transpose() * sizes).norm();
    // The derivative of F = G^{-1} X by X is at most ||G^{-1}|| + ||F||^2 <= 2.
    const double by_tokens = 2 * x_error_ * static_cast<double>(by) / factor_;
    const double error = by_gram + by_tokens + 4 * unit_roundoff<double> * size;
    if (transposed_) result.transposeInPlace();
    return {std::move(result), {size, error}};
  }

  bool transposed_;
  double root_;     // a^{1/2} = factor_ 2^exponent_
  double x_error_;  // of a^{1/2} W
  double factor_ = 0;
  int exponent_ = 0;
  MatrixOf<Real> scaled_;  // m x n, m <= n
  MatrixOf<Real> ldlt_, inverse_;
  Vector<double> squares_;  // the diagonal of M
};

/// What is thrown where no arithmetic at hand gives the rate, step or gradient of `w`, whose tokens are its columns.
template <class W>
[[nodiscard]] PrecisionError unreliable(const char* what, const Eigen::MatrixBase<W>& w, double epsilon) {
  if (!w.allFinite()) return PrecisionError(concatenate(what, ": expected tokens of finite numbers, found others"));
  const double longest = MatrixOf<double>(w.template cast<double>()).colwise().stableNorm().maxCoeff();
  return PrecisionError(concatenate(what, ": tokens as long as ", longest, " are ", longest / epsilon,
                                    " times epsilon = ", epsilon,
                                    " and too nearly dependent for that: no digits would be left; expected "
                                    "a larger epsilon, or tokens of which none follows from the others"));
}

}  // namespace crate::detail
