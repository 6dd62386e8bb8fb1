// SPDX-License-Identifier: MIT
#pragma once

#include "crate/kernels/views.hpp"

namespace crate::detail {

enum class Activation {
  none,            ///< x
  relu,            ///< max(x, 0)
  soft_threshold,  ///< sign(x) max(|x| - level, 0)
};

/// What becomes of a product P before it is stored: activation(scale column_scale_j P_ij + shift_i + addend_ij). Null pointers are
/// left out. The addend may be kept as bfloat16.
template <Scalar S, class Kept = S>
struct Epilogue {
  const S* shift = nullptr;         ///< for every row, and zeros up to whole vectors of rows
  const S* column_scale = nullptr;  ///< for every column
  Columns<const Kept> addend = {};  ///< as large as the product
  Activation activation = Activation::none;
  S level = 0;
  S scale = 1;
};

}  // namespace crate::detail
