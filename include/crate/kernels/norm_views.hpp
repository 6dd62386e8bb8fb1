// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/matrix.hpp"

// Layer norms as kernels see them.

namespace crate::detail {

template <Scalar S>
struct NormWeights {
  const S* weight;
  const S* bias;
  double epsilon;
};

/// mean z and 1 / sqrt(var z + epsilon) of every token.
template <class S>
struct NormStatistics {
  S* mean;
  S* inverse_deviation;
};

/// dL/dweight and dL/dbias.
template <Scalar S>
struct NormGradient {
  S* weight;
  S* bias;
};

}  // namespace crate::detail
