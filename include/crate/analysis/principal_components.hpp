// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "crate/analysis/estimate_dictionary.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

// Principal components of features over the patches of several images, and pictures of them.

namespace crate {

/// Principal component analysis of features F, n x N, with mean m: F ~ m 1^T + V S. Directions of zero deviation are
/// arbitrary, but orthonormal.
struct PrincipalComponents {
  Vector<double> mean;        ///< m, n
  Matrix<double> directions;  ///< V, n x c, V^T V = I, by decreasing deviation; the largest |entry| of each is positive
  Vector<double> deviations;  ///< standard deviations of the scores along each direction, c; over N

  /// S = V^T (F - m 1^T), c x N. Throws ShapeError unless F has n rows.
  template <class FDerived>
  [[nodiscard]] Matrix<double> scores(const Eigen::MatrixBase<FDerived>& features) const {
    check_size("principal components: rows of the features", features.rows(), mean.size());
    return directions.transpose() * (features.template cast<double>().colwise() - mean);
  }
};

/// The first c components: eigenvectors of (F - m 1^T) (F - m 1^T)^T / N. Cost: O(N n^2 + n^3). Throws ShapeError if
/// there are no features, OptionError unless 1 <= c <= n, PrecisionError if features are not finite.
template <class FDerived>
[[nodiscard]] PrincipalComponents principal_components(const Eigen::MatrixBase<FDerived>& features, Index count) {
  check_not_empty("principal components: features", features);
  const Index n = features.rows();
  check_option(count >= 1 && count <= n, concatenate("principal components from 1 to ", n), count);
  const Matrix<double> f = features.template cast<double>();
  check_finite("principal components: features", f);
  PrincipalComponents result;
  result.mean = f.rowwise().mean();
  const Matrix<double> centred = f.colwise() - result.mean;
  Threads alone;
  const Matrix<double> covariance = detail::gram_of_rows(centred, alone) / static_cast<double>(f.cols());
  const auto solver = detail::eigen_decomposition<double>(covariance);
  result.directions = solver.eigenvectors().rowwise().reverse().leftCols(count);
  result.deviations = solver.eigenvalues().reverse().head(count).cwiseMax(0).cwiseSqrt();
  for (Index i = 0; i < count; ++i) {
    Index largest = 0;
    result.directions.col(i).cwiseAbs().maxCoeff(&largest);
    if (result.directions(largest, i) < 0) result.directions.col(i) *= -1;
  }
  return result;
}

/// Pictures of the principal components of images' patches, one image after another.
struct ComponentPicture {
  Vector<double> foreground_score;  ///< N, in [0, 1]: the first component; image borders score low
  std::vector<bool> is_foreground;  ///< N, where the score exceeds the threshold
  Matrix<double> colours;           ///< 3 x N, in [0, 1]: the next three, over the foreground; 0 in the background
};

namespace detail {

/// Scales the selected entries of each row to [0, 1]; rows of a single value become 0. A template, like the functions
/// below, so that only users of it compile it.
template <Scalar S>
void scale_rows(Matrix<S>& rows, const std::vector<bool>& selected) {
  for (Index r = 0; r < rows.rows(); ++r) {
    S least = 0, greatest = 0;
    bool any = false;
    for (Index j = 0; j < rows.cols(); ++j)
      if (selected[static_cast<std::size_t>(j)]) {
        least = any ? std::min(least, rows(r, j)) : rows(r, j);
        greatest = any ? std::max(greatest, rows(r, j)) : rows(r, j);
        any = true;
      }
    const S range = greatest - least;
    for (Index j = 0; j < rows.cols(); ++j)
      rows(r, j) = selected[static_cast<std::size_t>(j)] && range > 0 ? (rows(r, j) - least) / range : 0;
  }
}

/// The mean score of patches at the border of their image minus that of the others.
template <class Derived>
[[nodiscard]] double border_excess(const Eigen::MatrixBase<Derived>& scores, Index rows, Index columns) {
  double border = 0, inside = 0, count_at_border = 0, count_inside = 0;
  for (Index j = 0; j < scores.size(); ++j) {
    const Index row = j % (rows * columns) / columns, column = j % columns;
    const bool is_border = row == 0 || row == rows - 1 || column == 0 || column == columns - 1;
    (is_border ? border : inside) += scores(j);
    (is_border ? count_at_border : count_inside) += 1;
  }
  return border / std::max(1.0, count_at_border) - inside / std::max(1.0, count_inside);
}

}  // namespace detail

/// Foreground and colours from features F, n x N: the patches of one or more images of rows x columns each, one image
/// after another. The first component has the sign for which patches at image borders score lower. Images whose patches
/// are all alike have no foreground; components beyond the rank of the features have colour 0. Source: arXiv
/// 2308.16271, which thresholds the first component and colours by the next three. Throws ShapeError unless there are
/// whole images with at least 4 features, OptionError if the threshold is outside [0, 1], PrecisionError if
/// features are not finite.
template <class FDerived>
[[nodiscard]] ComponentPicture component_picture(const Eigen::MatrixBase<FDerived>& features, Index rows, Index columns,
                                                 double threshold = 0.5) {
  check_option(threshold >= 0 && threshold <= 1, "foreground threshold in [0, 1]", threshold);
  if (rows < 1 || columns < 1 || features.cols() == 0 || features.cols() % (rows * columns) != 0 || features.rows() < 4)
    throw ShapeError(concatenate("component picture: expected 4 or more features of images of ", rows, " x ", columns,
                                 " patches, found ", features.rows(), " x ", features.cols()));
  const PrincipalComponents components = principal_components(features, 4);
  Matrix<double> scores = components.scores(features);
  const double rounding = 64 * static_cast<double>(std::numeric_limits<typename FDerived::Scalar>::epsilon()) *
                          (components.mean.norm() + components.deviations(0));
  for (Index i = 0; i < scores.rows(); ++i)  // not from `deviations`, the square roots of rounded variances
    if (scores.row(i).norm() <= rounding * std::sqrt(static_cast<double>(scores.cols()))) scores.row(i).setZero();
  if (detail::border_excess(scores.row(0), rows, columns) > 0) scores.row(0) *= -1;
  ComponentPicture picture;
  Matrix<double> first = scores.row(0);
  detail::scale_rows(first, std::vector<bool>(static_cast<std::size_t>(first.cols()), true));
  picture.foreground_score = first.row(0).transpose();
  for (const double score : picture.foreground_score) picture.is_foreground.push_back(score > threshold);
  picture.colours = scores.bottomRows(3);
  detail::scale_rows(picture.colours, picture.is_foreground);
  return picture;
}

}  // namespace crate
