// SPDX-License-Identifier: MIT
#pragma once

#include "crate/kernels/views.hpp"

namespace crate::detail {

/// Which entries of a product, stored column after column, are wanted.
enum class Entries {
  all,
  lower_triangle  ///< with the diagonal; some of the others are computed too
};

enum class Activation {
  none,            ///< x
  relu,            ///< max(x - level, 0)
  soft_threshold,  ///< sign(x) max(|x| - level, 0)
  gelu,            ///< GELU(x), see GeluForm
  gelu_tanh,
};

/// What becomes of a product P before it is stored: activation(scale column_scale_j P_ij + shift_i + addend_ij), and 0
/// where mask_ij is 0. Null pointers are left out. The addend may be kept as bfloat16.
template <Scalar S, class Kept = S>
struct Epilogue {
  const S* shift = nullptr;         ///< for every row
  const S* column_scale = nullptr;  ///< for every column
  Columns<const Kept> addend = {};  ///< as large as the product
  Activation activation = Activation::none;
  S level = 0;
  S scale = 1;
  Columns<const S> mask = {};  ///< as large as the product
};

/// What becomes of a product that goes through the door of product.hpp, in any order of rows and columns:
/// activation(scale P + shift 1^T + addend), and 0 where the mask is 0. What is empty is left out.
template <Scalar S>
struct ProductEpilogue {
  S scale = 1;
  const S* shift = nullptr;         ///< for every row, of a product that is stored column after column
  MatrixView<const S> addend = {};  ///< as large as the product and stored in its order; may be where the product goes
  MatrixView<const S> mask = {};    ///< so too, but apart from where the product goes
  Activation activation = Activation::none;
  S level = 0;
};

}  // namespace crate::detail
