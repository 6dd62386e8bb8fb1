// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// Which classes were taken for which.
struct Confusion {
  using Counts = Eigen::Matrix<Index, Eigen::Dynamic, Eigen::Dynamic>;
  Counts counts = {};  ///< classes x classes: how many of the row's class were classified as the column's

  [[nodiscard]] Index size() const { return counts.sum(); }
  [[nodiscard]] Index correct() const { return counts.diagonal().sum(); }
  /// The share that was classified correctly. Of no examples 0.
  [[nodiscard]] double accuracy() const {
    return size() == 0 ? 0 : static_cast<double>(correct()) / static_cast<double>(size());
  }
};

/// Compares classes with what they were told to be. Throws ShapeError unless there are as many of both, in 0, ...,
/// classes - 1.
[[nodiscard]] inline Confusion confusion_of(std::span<const Index> labels, std::span<const Index> told, Index classes) {
  check_size("confusion: classes told", std::ssize(told), std::ssize(labels));
  Confusion confusion{Confusion::Counts::Zero(classes, classes)};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    for (const Index label : {labels[i], told[i]})
      if (label < 0 || label >= classes)
        throw ShapeError(
            concatenate("confusion: example ", i, ": expected a class in 0 to ", classes - 1, ", found ", label));
    ++confusion.counts(labels[i], told[i]);
  }
  return confusion;
}

/// The row of the largest entry of each column: the class that gets most, the first of equals.
template <class Derived>
[[nodiscard]] std::vector<Index> largest_rows(const Eigen::MatrixBase<Derived>& columns) {
  std::vector<Index> rows(static_cast<std::size_t>(columns.cols()));
  for (Index j = 0; j < columns.cols(); ++j) columns.col(j).maxCoeff(&rows[static_cast<std::size_t>(j)]);
  return rows;
}

}  // namespace crate
