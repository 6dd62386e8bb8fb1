// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "crate/core/matrix.hpp"

namespace crate {

/// Several views of the same images, for self-distillation.
template <Scalar S>
struct ImageViews {
  std::vector<Matrix<S>> views;  ///< each (C H W) x B; sizes may differ; column b is the same image in all
  std::vector<Index> labels;     ///< B
};

}  // namespace crate
