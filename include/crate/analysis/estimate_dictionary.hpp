// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <cmath>

#include "crate/analysis/detail/scaled_tokens.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/kernels/product.hpp"

// Orthonormal dictionaries from tokens alone: the principal directions, and the sparsest basis that is found from them.
//
// Letters: Z tokens, d x N; D dictionary, d x d, D^T D = I; A codes, d x N.

namespace crate {

struct DictionaryEstimationOptions {
  double threshold = 0.1;  ///< t >= 0: entries of the code below it are set to 0; each remaining entry costs t^2
  int iterations = 30;     ///< alternations of coding and refitting; >= 0

  void check() const {
    check_option(std::isfinite(threshold) && threshold >= 0, "dictionary estimation: threshold >= 0", threshold);
    check_option(iterations >= 0, "dictionary estimation: iterations >= 0", iterations);
  }
};

namespace detail {

/// The orthogonal matrix nearest to a non-singular square one, M (M^T M)^{-1/2}, by Newton's iteration X <- (g X +
/// X^{-T} / g) / 2 with the scaling of Higham, "Computing the polar decomposition - with applications", SIAM J. Sci.
/// Stat. Comput. 7 (1986). About ten inversions for any condition number.
template <Scalar S>
[[nodiscard]] Matrix<S> nearest_orthogonal(Matrix<S> x) {
  constexpr int most_iterations = 40;
  for (int i = 0; i < most_iterations; ++i) {
    const Matrix<S> inverse = x.partialPivLu().inverse();
    const S scaling = std::sqrt(inverse.norm() / x.norm());
    const Matrix<S> next = (scaling * x + inverse.transpose() / scaling) / 2;
    const S change = (next - x).norm();
    x = next;
    if (change <= 10 * Eigen::NumTraits<S>::epsilon() * x.norm()) break;
  }
  Threads alone;
  Matrix<S> departing(x.rows(), x.rows());
  gram_into(x, departing, alone);
  departing.diagonal().array() -= S(1);
  const S departure = departing.norm();
  if (!(departure <= std::sqrt(Eigen::NumTraits<S>::epsilon())))
    throw PrecisionError("orthogonal factor: expected a matrix far enough from singular to have one");
  return x;
}

/// A B.
template <class A, class B>
[[nodiscard]] Matrix<typename A::Scalar> product_of(const Eigen::MatrixBase<A>& a, const Eigen::MatrixBase<B>& b,
                                                    Threads& threads) {
  Matrix<typename A::Scalar> result(a.rows(), b.cols());
  multiply(a, b, result, threads);
  return result;
}

/// A A^T.
template <Scalar S>
[[nodiscard]] Matrix<S> gram_of_rows(const Matrix<S>& a, Threads& threads) {
  Matrix<S> result(a.rows(), a.rows());
  gram_into(a.transpose(), result, threads);
  return result;
}

/// Eigenvectors and eigenvalues of a symmetric matrix. Throws PrecisionError if the iteration does not converge.
template <Scalar S>
[[nodiscard]] Eigen::SelfAdjointEigenSolver<Matrix<S>> eigen_decomposition(const Matrix<S>& symmetric) {
  Eigen::SelfAdjointEigenSolver<Matrix<S>> solver(symmetric);
  if (!has_succeeded(solver)) throw PrecisionError("eigenvectors: the iteration did not converge");
  return solver;
}

}  // namespace detail

/// The eigenvectors of Z Z^T by decreasing eigenvalue, d x d: the dictionary of principal component analysis.
/// Throws ShapeError if Z is empty, PrecisionError if tokens are not finite.
template <class ZDerived>
[[nodiscard]] Matrix<typename ZDerived::Scalar> principal_directions(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                     Threads& threads) {
  using S = typename ZDerived::Scalar;
  if (tokens.size() == 0) throw ShapeError("principal directions: expected tokens, found none");
  const Matrix<S> z = detail::scaled_tokens<S>(tokens).tokens;
  return detail::eigen_decomposition<S>(detail::gram_of_rows(z, threads)).eigenvectors().rowwise().reverse();
}

/// An orthonormal dictionary in which the tokens have sparse codes: a stationary point, reached from the principal
/// directions, of
///   min over D^T D = I and A of ||Z - D A||_F^2 + t^2 ||A||_0,
/// alternating A = D^T Z where it exceeds t and 0 elsewhere, and D = the orthogonal factor of Z A^T (Lesage et al.,
/// "Learning unions of orthonormal bases with thresholded singular value decomposition", ICASSP 2005). No iteration
/// raises the objective. Cost: O(N d^2 + d^3) per iteration. Throws OptionError if an option is out of range or if
/// tokens are all zero, PrecisionError if they are not finite, ShapeError if Z is empty.
template <class ZDerived>
[[nodiscard]] Matrix<typename ZDerived::Scalar> estimate_dictionary(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                    const DictionaryEstimationOptions& options,
                                                                    Threads& threads) {
  using S = typename ZDerived::Scalar;
  options.check();
  if (tokens.size() == 0) throw ShapeError("dictionary estimation: expected tokens, found none");
  const auto [z, exponent] = detail::scaled_tokens<S>(tokens);
  const auto energy = static_cast<double>(z.squaredNorm());
  if (!(energy > 0))
    throw OptionError("dictionary estimation: expected tokens that are not all zero, found only zeros");
  Matrix<S> dictionary = principal_directions(z, threads);

  // Z A^T does not determine an atom that no token uses; this regularisation keeps the atom in place.
  const S inertia = std::sqrt(Eigen::NumTraits<S>::epsilon()) * static_cast<S>(energy);
  const S threshold = static_cast<S>(std::ldexp(options.threshold, -exponent));
  Matrix<S> codes(z.rows(), z.cols());
  for (int i = 0; i < options.iterations; ++i) {
    multiply(dictionary.transpose(), z, codes, threads);
    codes = (codes.array().abs() > threshold).select(codes, S(0)).eval();
    dictionary =
        detail::nearest_orthogonal<S>(detail::product_of(z, codes.transpose(), threads) + inertia * dictionary);
  }
  return dictionary;
}

/// estimate_dictionary on one thread.
template <class ZDerived>
[[nodiscard]] Matrix<typename ZDerived::Scalar> estimate_dictionary(const Eigen::MatrixBase<ZDerived>& tokens,
                                                                    const DictionaryEstimationOptions& options = {}) {
  Threads alone;
  return estimate_dictionary(tokens, options, alone);
}

}  // namespace crate
