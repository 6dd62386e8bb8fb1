// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "crate/core/matrix.hpp"

namespace crate {

/// Several views of the same images, as models take them: what a source of views gives and self-distillation takes.
template <Scalar S>
struct ImageViews {
  std::vector<Matrix<S>> views;  ///< each (C H W) x B, of sizes of their own; column b of all is the same image
  std::vector<Index> labels;     ///< B
};

}  // namespace crate
