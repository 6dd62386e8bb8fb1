// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Features of examples, with the class of each.
template <Scalar S>
struct LabelledFeatures {
  Matrix<S> features = {};         ///< d x N, one example per column
  std::vector<Index> labels = {};  ///< N, in 0, ..., classes - 1
  Index classes = 0;

  [[nodiscard]] Index size() const { return features.cols(); }
  [[nodiscard]] Index dim() const { return features.rows(); }
};

/// Throws PrecisionError unless all features are finite.
template <class Derived>
void check_finite_features(std::string_view what, const Eigen::MatrixBase<Derived>& features) {
  for (Index j = 0; j < features.cols(); ++j)
    if (!features.col(j).allFinite())
      throw PrecisionError(concatenate(what, ": expected finite features, found nan or infinity in example ", j));
}

/// Throws ShapeError unless every example has features and a label in range, PrecisionError if features are not finite.
template <Scalar S>
void check_labelled(std::string_view what, const LabelledFeatures<S>& examples) {
  check_not_empty(what, examples.features);
  if (std::ssize(examples.labels) != examples.size())
    throw ShapeError(
        concatenate(what, ": expected ", examples.size(), " labels, one per example, found ", examples.labels.size()));
  for (std::size_t i = 0; i < examples.labels.size(); ++i)
    if (examples.labels[i] < 0 || examples.labels[i] >= examples.classes)
      throw ShapeError(
          concatenate(what, ": label ", i, ": expected 0 to ", examples.classes - 1, ", found ", examples.labels[i]));
  check_finite_features(what, examples.features);
}

namespace detail {

/// check_labelled for training examples. Also throws OptionError unless they have at least two classes.
template <Scalar S>
void check_training(const LabelledFeatures<S>& training) {
  check_labelled("features to learn from", training);
  const auto [least, largest] = std::minmax_element(training.labels.begin(), training.labels.end());
  check_option(*least != *largest, "features to learn from of at least two classes",
               concatenate("class ", *least, " alone"));
}

}  // namespace detail

}  // namespace crate
