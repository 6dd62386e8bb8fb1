// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "crate/analysis/estimate_dictionary.hpp"
#include "crate/analysis/masks.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/unit_columns.hpp"

// Unsupervised segmentation: objects of an image by normalised cuts of the similarities between its patches' features.

namespace crate {

struct MaskCutOptions {
  int masks = 3;            ///< maximum number of objects, >= 1
  double threshold = 0.15;  ///< tau in [-1, 1): cosine above which two patches are neighbours

  void check() const {
    check_option(masks >= 1, "mask cut: masks >= 1", masks);
    check_option(threshold >= -1 && threshold < 1, "mask cut: threshold in [-1, 1)", threshold);
  }
};

namespace detail {

/// A graph of patches with affinities W: 1 for pairs whose cosine exceeds tau, 1e-5 for all others, so that it is
/// connected. A template, like the functions below, so that only users of it compile it.
template <Scalar S>
class PatchGraph {
 public:
  PatchGraph(const Matrix<S>& features, S threshold) : neighbours_(features.cols(), features.cols()) {
    constexpr Index most_columns = 256;
    const Matrix<S> unit = unit_columns<S>(features);
    Matrix<S> cosines;
    Threads alone;
    for (Index first = 0; first < patches(); first += most_columns) {
      const Index count = std::min(most_columns, patches() - first);
      cosines.resize(patches(), count);
      multiply(unit.transpose(), unit.middleCols(first, count), cosines, alone);
      neighbours_.middleCols(first, count) = cosines.array() > threshold;
    }
  }

  [[nodiscard]] Index patches() const { return neighbours_.cols(); }

  /// Whether all pairs of different patches have the same affinity.
  [[nodiscard]] bool is_even() const {
    for (Index j = 1; j < patches(); ++j)
      if ((neighbours_.col(j).head(j) != neighbours_(0, 1)).any()) return false;
    return true;
  }

  /// W x = 1e-5 (1^T x) 1 + (1 - 1e-5) B x, with B the neighbours.
  [[nodiscard]] Vector<S> weigh(const Vector<S>& x) const {
    constexpr S weakest = S(1e-5);
    Vector<S> result = Vector<S>::Constant(patches(), weakest * x.sum());
    for (Index j = 0; j < patches(); ++j)
      result += (1 - weakest) * x(j) * neighbours_.col(j).matrix().template cast<S>();
    return result;
  }

 private:
  Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic> neighbours_;  // B, one byte per pair
};

/// The eigenvector of the largest eigenvalue of a symmetric map x -> multiply(x) that is orthogonal to `known`, a unit
/// eigenvector of the map; to a residual of 1e-12 for a map of norm 1. By the Lanczos iteration with full
/// reorthogonalisation.
template <Scalar S, class Multiply>
[[nodiscard]] Vector<S> largest_eigenvector_beside(const Vector<S>& known, const Multiply& multiply) {
  constexpr S tolerance = S(1e-12);
  const Index n = known.size();
  Matrix<S> basis = known;
  const auto orthogonalise = [&](Vector<S>& x) {
    for (int time = 0; time < 2; ++time) x -= basis * (basis.transpose() * x).eval();
  };
  Vector<S> next(n), diagonal(n - 1), off_diagonal(n - 1);
  Random random(1);
  random.fill_normal(next);
  orthogonalise(next);
  next.normalize();
  for (Index turn = 1, check = 1;; ++turn) {
    basis.conservativeResize(Eigen::NoChange, turn + 1);
    basis.col(turn) = next;
    next = multiply(Vector<S>(basis.col(turn)));
    diagonal(turn - 1) = basis.col(turn).dot(next);
    orthogonalise(next);
    const S left = off_diagonal(turn - 1) = next.norm();
    if (turn >= check || left <= tolerance || turn == n - 1) {
      check = turn + 1 + turn / 4;
      Eigen::SelfAdjointEigenSolver<Matrix<S>> solver;
      solver.computeFromTridiagonal(diagonal.head(turn), off_diagonal.head(turn - 1));
      if (!has_succeeded(solver)) throw PrecisionError("eigenvectors: the iteration did not converge");
      const Vector<S> coordinates = solver.eigenvectors().col(turn - 1);
      if (left * std::abs(coordinates(turn - 1)) <= tolerance || turn == n - 1)
        return basis.rightCols(turn) * coordinates;
    }
    next /= left;
  }
}

/// v of the second smallest l in (D - W) v = l D v, D = diag(W 1), from the second largest eigenvalue of the symmetric
/// D^{-1/2} W D^{-1/2}, whose first eigenvector is D^{1/2} 1 and second D^{1/2} v.
template <Scalar S>
[[nodiscard]] Vector<S> second_generalised_eigenvector(const PatchGraph<S>& graph) {
  const Vector<S> roots = graph.weigh(Vector<S>::Ones(graph.patches())).cwiseSqrt();
  const auto multiply = [&](const Vector<S>& x) -> Vector<S> {
    return graph.weigh(x.cwiseQuotient(roots)).cwiseQuotient(roots);
  };
  return largest_eigenvector_beside<S>(roots.normalized(), multiply).cwiseQuotient(roots);
}

/// The 4-connected component of the mask that contains a patch.
[[nodiscard]] inline Mask connected_part(const Mask& mask, Index row, Index column) {
  Mask part = Mask::Constant(mask.rows(), mask.cols(), false);
  std::vector<std::pair<Index, Index>> open{{row, column}};
  while (!open.empty()) {
    const auto [y, x] = open.back();
    open.pop_back();
    if (y < 0 || x < 0 || y >= mask.rows() || x >= mask.cols() || !mask(y, x) || part(y, x)) continue;
    part(y, x) = true;
    open.insert(open.end(), {{y - 1, x}, {y + 1, x}, {y, x - 1}, {y, x + 1}});
  }
  return part;
}

/// Chooses the side of the cut that is the object: the side without three or more image corners, otherwise the side of
/// the largest |v|. Returns v with the sign for which the object is above the mean.
template <Scalar S>
[[nodiscard]] Vector<S> towards_object(const Vector<S>& v, const std::vector<Index>& patches, Index rows,
                                       Index columns) {
  const S mean = v.mean();
  int corners = 0;
  for (Index i = 0; i < v.size(); ++i) {
    const Index y = patches[static_cast<std::size_t>(i)] / columns, x = patches[static_cast<std::size_t>(i)] % columns;
    if ((y == 0 || y == rows - 1) && (x == 0 || x == columns - 1) && v(i) > mean) ++corners;
  }
  Index seed = 0;
  v.cwiseAbs().maxCoeff(&seed);
  return corners >= 3 || v(seed) <= mean ? Vector<S>(-v) : v;
}

}  // namespace detail

/// Masks of objects, rows x columns, the most conspicuous first, from the features F of an image's patches, n x (rows
/// columns), row by row, such as TokenFeatures::patch_keys, whose affinities are sums over heads of inner products of
/// U_k^T z. Each mask is the connected part, around its strongest patch, of the object side of a normalised cut; its
/// patches leave the graph before the next cut. Source: arXiv 2301.11320 (MaskCut), with n = 3 and tau = 0.15 as in
/// arXiv 2308.16271, without its conditional random field, which smooths the masks.
/// An image whose patches are all alike, or all unlike, has no masks. Cost for N patches: O(N^2 (n + m) + N m^2) per
/// mask and N^2 bytes, with m <= N iterations, few if objects stand out. Throws ShapeError on a wrong number of
/// patches, OptionError if an option is out of range, PrecisionError if features are not finite.
template <class FDerived>
[[nodiscard]] std::vector<Mask> mask_cut(const Eigen::MatrixBase<FDerived>& features, Index rows, Index columns,
                                         const MaskCutOptions& options = {}) {
  options.check();
  check_size("mask cut: patches", features.cols(), rows * columns);
  const Matrix<double> f = features.template cast<double>();
  check_finite("mask cut: features", f);
  std::vector<Index> left(static_cast<std::size_t>(f.cols()));
  std::iota(left.begin(), left.end(), Index{0});
  std::vector<Mask> masks;
  while (std::ssize(masks) < options.masks && left.size() >= 2) {
    const Matrix<double> nodes = f(Eigen::all, left);
    const detail::PatchGraph<double> graph(nodes, options.threshold);
    if (graph.is_even()) break;
    const Vector<double> v = detail::towards_object(detail::second_generalised_eigenvector(graph), left, rows, columns);
    Mask object = Mask::Constant(rows, columns, false);
    Index seed = 0;
    const double mean = v.mean();
    v.maxCoeff(&seed);
    for (Index i = 0; i < v.size(); ++i) {
      const Index patch = left[static_cast<std::size_t>(i)];
      object(patch / columns, patch % columns) = v(i) > mean;
    }
    const Index strongest = left[static_cast<std::size_t>(seed)];
    masks.push_back(detail::connected_part(object, strongest / columns, strongest % columns));
    std::erase_if(left, [&](Index patch) { return masks.back()(patch / columns, patch % columns); });
  }
  return masks;
}

}  // namespace crate
