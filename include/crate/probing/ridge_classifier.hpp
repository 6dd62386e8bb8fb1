// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <cstddef>
#include <utility>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/probing/labelled_features.hpp"
#include "crate/probing/linear_classifier.hpp"

namespace crate {

namespace detail {

/// The sums in double for ridge regression with scaled features X, d x N, and one-hot classes Y, classes x N.
struct RidgeSums {
  Matrix<double> gram;      ///< X X^T / N, d x d
  Matrix<double> products;  ///< X Y^T / N, d x classes
  Vector<double> shares;    ///< the mean of Y over the examples
};

template <Scalar S>
[[nodiscard]] RidgeSums sum_for_ridge(const LabelledFeatures<S>& examples, const FeatureScale& scale,
                                      Threads& threads) {
  constexpr Index block = 1024;
  const Index d = examples.dim();
  RidgeSums sums{Matrix<double>::Zero(d, d), Matrix<double>::Zero(d, examples.classes),
                 Vector<double>::Zero(examples.classes)};
  for (Index first = 0; first < examples.size(); first += block) {
    const Index count = std::min(block, examples.size() - first);
    Matrix<double> x = examples.features.middleCols(first, count).template cast<double>();
    x = scale.factor.asDiagonal() * (x.colwise() - scale.mean);
    gram_add(1, x.transpose(), sums.gram, threads);
    for (Index j = 0; j < count; ++j) {
      const Index label = examples.labels[static_cast<std::size_t>(first + j)];
      sums.products.col(label) += x.col(j);
      sums.shares(label) += 1;
    }
  }
  const auto size = static_cast<double>(examples.size());
  sums.gram /= size;
  sums.products /= size;
  sums.shares /= size;
  return sums;
}

}  // namespace detail

/// The candidate penalties of ridge regression, relative to the mean variance of a feature.
[[nodiscard]] inline LinearProbeOptions ridge_options() {
  return {.penalties = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10}};
}

/// Ridge regression to one-hot classes: W and b that minimise the mean over the examples of
///   ||W x + b - y||^2 + a ||W||^2,
/// with x scaled features, y 1 for the example's class and 0 for the others, and a the penalty times the mean variance
/// of a feature of x. In closed form, W = Y X^T (X X^T + N a I)^-1, in double: O(N d^2 + d^3). If all features are
/// alike, W is 0 and the most frequent class is predicted.
/// Throws ShapeError unless features and labels agree, OptionError if the examples have one class only or an option is
/// out of range, PrecisionError if features are not finite, or too nearly dependent for the penalty.
template <Scalar S>
[[nodiscard]] LinearClassifier<S> fit_ridge_classifier(const LabelledFeatures<S>& training, Threads& threads,
                                                       const LinearProbeOptions& options = ridge_options()) {
  const auto fit = [&](const LabelledFeatures<S>& examples) {
    const detail::FeatureScale scale = detail::measure_scale(examples.features, options.standardised);
    return [scale, sums = detail::sum_for_ridge(examples, scale, threads)](double penalty) {
      const double variance = sums.gram.trace() / static_cast<double>(sums.gram.rows());
      if (!(variance > 0))  // features all alike: W = 0
        return detail::unscaled<S>(Matrix<double>::Zero(sums.shares.size(), sums.gram.rows()), sums.shares, scale,
                                   penalty);
      Matrix<double> regular = sums.gram;
      regular.diagonal().array() += penalty * variance;
      const Eigen::LLT<Matrix<double>> factor(regular);
      if (!has_succeeded(factor))
        throw PrecisionError(
            concatenate("ridge regression: expected a larger penalty for features that depend on each "
                        "other so closely, found ",
                        penalty));
      const Matrix<double> weight = factor.solve(sums.products).transpose();
      return detail::unscaled<S>(weight, sums.shares, scale, penalty);
    };
  };
  return detail::fit_with_best_penalty(training, options, threads, fit);
}

}  // namespace crate
