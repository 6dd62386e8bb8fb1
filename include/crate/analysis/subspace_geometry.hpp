// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/subspaces.hpp"
#include "crate/operators/unit_columns.hpp"

// The geometry of a layer's subspaces: their angles to each other, to those of another layer, and to tokens; and how
// close a dictionary is to the orthonormal one that the derivation assumes. All in double.

namespace crate {

namespace detail {

/// |cosines| between columns; 0 for a column of zeros. A template, like the functions below, so that only users of it
/// compile it.
template <Scalar S>
[[nodiscard]] Matrix<S> column_cosines(const Matrix<S>& a) {
  const Matrix<S> unit = unit_columns<S>(a);
  return (unit.transpose() * unit).cwiseAbs();
}

/// An orthonormal basis of A's column space, to the rounding of its largest singular value.
template <Scalar S>
[[nodiscard]] Matrix<S> column_space(const Matrix<S>& a) {
  if (a.cols() == 0) return a;
  const Eigen::BDCSVD<Matrix<S>> svd(a, Eigen::ComputeThinU);
  return svd.matrixU().leftCols(svd.rank());
}

}  // namespace detail

/// Largest and mean |cosine| between different columns; both are 0 for a single column.
struct Coherence {
  double largest = 0;
  double mean = 0;
};

/// Coherence of a layer's subspaces; both are 0 for orthonormal bases of mutually orthogonal subspaces.
struct SubspaceCoherence {
  Coherence within;   ///< between columns of one U_k
  Coherence between;  ///< between columns of different U_k
};

/// Source: arXiv 2311.13110, section 5, which shows U_[K]^T U_[K] of learnt layers. Throws PrecisionError if entries
/// are not finite.
template <class Bases>
[[nodiscard]] SubspaceCoherence subspace_coherence(const Subspaces<Bases>& subspaces) {
  const Matrix<double> u = subspaces.bases().template cast<double>();
  check_finite("subspaces", u);
  const Matrix<double> cosines = detail::column_cosines(u);
  SubspaceCoherence result;
  double pairs_within = 0, pairs_between = 0;
  for (Index j = 0; j < u.cols(); ++j)
    for (Index i = 0; i < j; ++i) {
      const bool same = i / subspaces.head_dim() == j / subspaces.head_dim();
      Coherence& coherence = same ? result.within : result.between;
      coherence.largest = std::max(coherence.largest, cosines(i, j));
      coherence.mean += cosines(i, j);
      (same ? pairs_within : pairs_between) += 1;
    }
  result.within.mean /= std::max(1.0, pairs_within);
  result.between.mean /= std::max(1.0, pairs_between);
  return result;
}

/// exp(-sum_i q_i log q_i), q_i = s_i / sum_j s_j for singular values s: between 1 and min(rows, columns), and 0 for a
/// matrix of zeros. Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007.
template <class ADerived>
[[nodiscard]] double effective_rank(const Eigen::MatrixBase<ADerived>& matrix) {
  const Matrix<double> a = matrix.template cast<double>();
  check_not_empty("effective rank: matrix", a);
  check_finite("matrix", a);
  const Vector<double> values = Eigen::BDCSVD<Matrix<double>>(a).singularValues();
  if (values.sum() == 0) return 0;
  double entropy = 0;
  for (const double value : values)
    if (const double share = value / values.sum(); share > 0) entropy -= share * std::log(share);
  return std::exp(entropy);
}

/// The principal angles between the column spaces of A and B, in degrees, ascending; their number is the smaller of the
/// two dimensions. Small angles are computed from sines, which are accurate there. Source: Bjorck and Golub, "Numerical
/// methods for computing angles between linear subspaces", Math. Comp. 27 (1973). Throws ShapeError unless both have
/// the same number of rows.
template <class ADerived, class BDerived>
[[nodiscard]] std::vector<double> principal_angles(const Eigen::MatrixBase<ADerived>& a,
                                                   const Eigen::MatrixBase<BDerived>& b) {
  check_size("principal angles: rows of the second matrix", b.rows(), a.rows());
  Matrix<double> first = a.template cast<double>(), second = b.template cast<double>();
  check_finite("first matrix", first);
  check_finite("second matrix", second);
  first = detail::column_space(first);
  second = detail::column_space(second);
  if (first.cols() < second.cols()) first.swap(second);
  std::vector<double> angles(static_cast<std::size_t>(second.cols()));
  if (angles.empty()) return angles;
  const Matrix<double> inside = first.transpose() * second, outside = second - first * inside;
  const Vector<double> cosines = Eigen::BDCSVD<Matrix<double>>(inside).singularValues(),
                       sines = Eigen::BDCSVD<Matrix<double>>(outside).singularValues().reverse();
  for (Index i = 0; i < second.cols(); ++i) {
    const double cosine = std::min(1.0, cosines(i)), sine = std::min(1.0, sines(i));
    angles[static_cast<std::size_t>(i)] =
        (cosine * cosine > 0.5 ? std::asin(sine) : std::acos(cosine)) * 180 / std::numbers::pi;
  }
  return angles;
}

/// Incoherence of a dictionary, which the derivation of ISTA assumes.
struct DictionaryIncoherence {
  Coherence atoms;       ///< of its columns
  double departure = 0;  ///< ||G - I||_F / ||I||_F, G = s^2 D^T D, with s such that the mean of its diagonal is 1
};

/// D, d x s. For an orthonormal D both are 0; with s > d atoms, departure is at least (s / d - 1)^{1/2}. Throws
/// ShapeError if D is empty, PrecisionError if entries are not finite.
template <class DDerived>
[[nodiscard]] DictionaryIncoherence dictionary_incoherence(const Eigen::MatrixBase<DDerived>& dictionary) {
  const Matrix<double> d = dictionary.template cast<double>();
  check_not_empty("incoherence: dictionary", d);
  const SubspaceCoherence coherence = subspace_coherence(Subspaces<Matrix<double>>(d, 1));
  const double energy = d.squaredNorm() / static_cast<double>(d.cols());
  Matrix<double> gram = d.transpose() * d / (energy > 0 ? energy : 1);
  gram.diagonal().array() -= 1;
  return {coherence.within, gram.norm() / std::sqrt(static_cast<double>(d.cols()))};
}

/// The share of each head in the energy of every token's projections H = U^T Z, (K p) x N:
///   ||h_k||^2 / sum_j ||h_j||^2, K x N,
/// where h_k are the p coordinates of head k; zeros for a token without projections. Throws ShapeError unless the
/// number of heads divides the rows of H, PrecisionError if H is not finite.
template <class HDerived>
[[nodiscard]] Matrix<double> projected_head_shares(const Eigen::MatrixBase<HDerived>& projected, Index heads) {
  const Index p = detail::projected_head_dim("shares of heads", projected.rows(), heads);
  const Matrix<double> h = projected.template cast<double>();
  check_finite("shares of heads: projected tokens", h);
  Matrix<double> shares(heads, h.cols());
  for (Index k = 0; k < heads; ++k) shares.row(k) = h.middleRows(k * p, p).colwise().squaredNorm();
  for (Index j = 0; j < shares.cols(); ++j)
    if (const double whole = shares.col(j).sum(); whole > 0) shares.col(j) /= whole;
  return shares;
}

/// The same of tokens Z, d x N: ||U_k^T z||^2 / sum_j ||U_j^T z||^2; zeros for a token that is orthogonal to all
/// subspaces. Throws ShapeError unless U has as many rows as Z, PrecisionError if projections are not finite.
template <class ZDerived, class Bases>
[[nodiscard]] Matrix<double> head_shares(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces) {
  check_size("shares of heads: rows of the tokens", tokens.rows(), subspaces.dim());
  return projected_head_shares(subspaces.bases().transpose() * tokens, subspaces.heads());
}

/// The head with the largest share of each token, the first of equals; -1 for a token without shares.
template <Scalar S>
[[nodiscard]] std::vector<Index> claiming_heads(const Matrix<S>& shares) {
  std::vector<Index> heads;
  for (Index j = 0; j < shares.cols(); ++j) {
    Index best = -1;
    if (shares.rows() > 0 && shares.col(j).maxCoeff(&best) <= 0) best = -1;
    heads.push_back(best);
  }
  return heads;
}

}  // namespace crate
