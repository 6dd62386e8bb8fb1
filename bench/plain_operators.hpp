// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Cholesky>

#include "operator_arguments.hpp"

// The formulas of rates and attention, written out in double.

namespace crate::bench {

inline Matrix<double> plain_gram(const Matrix<double>& w) {
  const double a = rate_factor(w.rows(), w.cols(), epsilon);
  return Matrix<double>::Identity(w.rows(), w.rows()) + a * w * w.transpose();
}

inline double plain_rate(const Matrix<double>& w) {
  const Eigen::LLT<Matrix<double>> factor(plain_gram(w));
  return factor.matrixLLT().diagonal().array().log().sum();
}

inline Matrix<double> plain_rate_gradient(const Matrix<double>& w) {
  return rate_factor(w.rows(), w.cols(), epsilon) * plain_gram(w).llt().solve(w);
}

/// The sum of f(U_k^T Z, k).
template <Scalar S, class F>
auto sum_of_heads(const Arguments<S>& arguments, const F& f) {
  auto sum = f(arguments.u(0).transpose() * arguments.z(), 0);
  for (Index k = 1; k < arguments.subspaces.heads(); ++k) sum += f(arguments.u(k).transpose() * arguments.z(), k);
  return sum;
}

template <Scalar S>
double plain_subspace_rate(const Arguments<S>& arguments) {
  return sum_of_heads(arguments, [](const Matrix<double>& w, Index) { return plain_rate(w); });
}

template <Scalar S>
inline Matrix<double> plain_subspace_rate_gradient(const Arguments<S>& arguments) {
  return sum_of_heads(arguments, [&](const Matrix<double>& w, Index k) {
    return Matrix<double>(arguments.u(k) * plain_rate_gradient(w));
  });
}

inline Matrix<double> plain_attention(const Matrix<double>& h, double logit_scale, bool causal, Index visible) {
  Matrix<double> scores = (logit_scale * (h.transpose() * h)).array().exp();
  if (causal) scores = scores.triangularView<Eigen::Upper>();
  scores.bottomRows(h.cols() - visible).setZero();
  return h * (scores * scores.colwise().sum().cwiseInverse().asDiagonal());
}

/// out_k applied to the attention of every head.
template <Scalar S>
inline Matrix<double> plain_mssa(const Arguments<S>& x, const Matrix<double>& out, const AttentionOptions& options) {
  const Index visible = options.visible == -1 ? x.count : options.visible;
  return sum_of_heads(x, [&](const Matrix<double>& w, Index k) {
    const bool causal = options.mask == AttentionMask::causal;
    return Matrix<double>(out.middleCols(k * head_dim, head_dim) *
                          plain_attention(w, options.logit_scale, causal, visible));
  });
}

}  // namespace crate::bench
