// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/kernels/views.hpp"

// Loops over matrices, where Eigen would be compiled once more: for numbers of twice the digits, and for norms of
// matrices of every type.

namespace crate::detail {

/// ||M||_F, whose squares neither overflow nor underflow.
template <crate::Scalar S>
[[nodiscard]] double frobenius_norm(MatrixView<const S> matrix) {
  if (matrix.row_step != 1) matrix = matrix.transposed();
  const auto column = [&](Index j) { return Eigen::Map<const Vector<S>>(matrix.at(0, j), matrix.rows); };
  double largest = 0;
  for (Index j = 0; j < matrix.cols && matrix.rows > 0; ++j) {
    const auto size = static_cast<double>(column(j).cwiseAbs().template maxCoeff<Eigen::PropagateNaN>());
    if (std::isnan(size)) return size;
    largest = std::max(largest, size);
  }
  if (!std::isnormal(largest)) return largest;
  double sum = 0;
  for (Index j = 0; j < matrix.cols; ++j) sum += (column(j).template cast<double>() / largest).squaredNorm();
  return largest * std::sqrt(sum);
}

template <class M>
[[nodiscard]] double frobenius_norm(const Eigen::MatrixBase<M>& matrix) {
  using S = typename M::Scalar;
  return frobenius_norm(view_of<const S>(matrix.derived()));
}

/// A matrix in plain loops, column-major, of numbers that Eigen need not know.
template <class Real>
class PlainMatrix {
 public:
  PlainMatrix() = default;
  /// All zero.
  PlainMatrix(Index rows, Index cols) : rows_(rows), cols_(cols), entries_(static_cast<std::size_t>(rows * cols)) {}
  explicit PlainMatrix(const Matrix<double>& matrix) : PlainMatrix(matrix.rows(), matrix.cols()) {
    for (Index i = 0; i < size(); ++i) entries_[static_cast<std::size_t>(i)] = matrix.data()[i];
  }

  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }
  [[nodiscard]] Index size() const { return rows_ * cols_; }
  [[nodiscard]] Real* col(Index j) { return entries_.data() + j * rows_; }
  [[nodiscard]] const Real* col(Index j) const { return entries_.data() + j * rows_; }
  [[nodiscard]] Real& operator()(Index i, Index j) { return col(j)[i]; }
  [[nodiscard]] const Real& operator()(Index i, Index j) const { return col(j)[i]; }

  [[nodiscard]] PlainMatrix transposed() const {
    PlainMatrix result(cols_, rows_);
    for (Index j = 0; j < cols_; ++j)
      for (Index i = 0; i < rows_; ++i) result(j, i) = (*this)(i, j);
    return result;
  }

  [[nodiscard]] Matrix<double> rounded() const {
    Matrix<double> result(rows_, cols_);
    for (Index i = 0; i < size(); ++i) result.data()[i] = static_cast<double>(entries_[static_cast<std::size_t>(i)]);
    return result;
  }

  PlainMatrix& operator*=(const Real& factor) {
    for (Real& entry : entries_) entry *= factor;
    return *this;
  }

 private:
  Index rows_ = 0, cols_ = 0;
  std::vector<Real> entries_;
};

/// y += factor x, of n numbers.
template <class Real>
void add_scaled(Real factor, const Real* x, Index n, Real* y) {
  if constexpr (std::is_floating_point_v<Real>)
    Eigen::Map<Vector<Real>>(y, n) += factor * Eigen::Map<const Vector<Real>>(x, n);
  else
    for (Index i = 0; i < n; ++i) y[i] += factor * x[i];
}

/// C += scale A B, scale = 1 or -1.
template <class Real>
void add_product(double scale, const PlainMatrix<Real>& a, const PlainMatrix<Real>& b, PlainMatrix<Real>& c) {
  for (Index j = 0; j < b.cols(); ++j)
    for (Index k = 0; k < b.rows(); ++k) add_scaled(Real(scale) * b(k, j), a.col(k), a.rows(), c.col(j));
}

template <class Real>
[[nodiscard]] PlainMatrix<Real> product(const PlainMatrix<Real>& a, const PlainMatrix<Real>& b) {
  PlainMatrix<Real> result(a.rows(), b.cols());
  add_product(1, a, b, result);
  return result;
}

/// W W^T, what is below its diagonal and on it; zero above.
template <class Real>
[[nodiscard]] PlainMatrix<Real> lower_gram(const PlainMatrix<Real>& w) {
  PlainMatrix<Real> result(w.rows(), w.rows());
  for (Index k = 0; k < w.cols(); ++k)
    for (Index j = 0; j < w.rows(); ++j) add_scaled(w(j, k), w.col(k) + j, w.rows() - j, result.col(j) + j);
  return result;
}

}  // namespace crate::detail
