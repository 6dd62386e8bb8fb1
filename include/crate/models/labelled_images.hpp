// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "crate/core/matrix.hpp"

namespace crate {

/// Images as models take them, with the class of each: what a source of images gives and an objective takes.
template <Scalar S>
struct LabelledImages {
  Matrix<S> images;           ///< (C H W) x B
  std::vector<Index> labels;  ///< B

  /// What a classifier is given.
  [[nodiscard]] const Matrix<S>& input() const { return images; }
};

}  // namespace crate
