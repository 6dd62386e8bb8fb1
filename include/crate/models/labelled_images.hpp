// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "crate/core/matrix.hpp"

namespace crate {

/// Images in a model's input format, with the class of each: from a source of images to an objective.
template <Scalar S>
struct LabelledImages {
  Matrix<S> images;           ///< (C H W) x B
  std::vector<Index> labels;  ///< B

  /// The input of a classifier.
  [[nodiscard]] const Matrix<S>& input() const { return images; }
};

}  // namespace crate
