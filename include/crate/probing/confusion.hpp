// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Confusion matrix.
struct Confusion {
  using Counts = Eigen::Matrix<Index, Eigen::Dynamic, Eigen::Dynamic>;
  Counts counts = {};  ///< classes x classes: number of examples of the row's class that were classified as the
                       ///< column's

  [[nodiscard]] Index size() const { return counts.sum(); }
  [[nodiscard]] Index correct() const { return counts.diagonal().sum(); }
  /// The share that was classified correctly; 0 if there are no examples.
  [[nodiscard]] double accuracy() const {
    return size() == 0 ? 0 : static_cast<double>(correct()) / static_cast<double>(size());
  }
};

/// Compares true classes with predicted ones. Throws ShapeError unless there are equally many of both, all in 0, ...,
/// classes - 1.
[[nodiscard]] inline Confusion confusion_of(std::span<const Index> labels, std::span<const Index> predicted,
                                            Index classes) {
  check_size("confusion: predicted classes", std::ssize(predicted), std::ssize(labels));
  Confusion confusion{Confusion::Counts::Zero(classes, classes)};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    for (const Index label : {labels[i], predicted[i]})
      if (label < 0 || label >= classes)
        throw ShapeError(
            concatenate("confusion: example ", i, ": expected a class in 0 to ", classes - 1, ", found ", label));
    ++confusion.counts(labels[i], predicted[i]);
  }
  return confusion;
}

/// The row of the largest entry in each column: the class with the highest score, the first of equals.
template <class Derived>
[[nodiscard]] std::vector<Index> largest_rows(const Eigen::MatrixBase<Derived>& columns) {
  std::vector<Index> rows(static_cast<std::size_t>(columns.cols()));
  for (Index j = 0; j < columns.cols(); ++j) columns.col(j).maxCoeff(&rows[static_cast<std::size_t>(j)]);
  return rows;
}

}  // namespace crate
