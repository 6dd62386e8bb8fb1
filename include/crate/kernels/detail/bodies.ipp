// SPDX-License-Identifier: MIT
// All kernels, for the instruction set that the macros of targets.hpp name, each on those before it.

#include "crate/kernels/detail/simd.ipp"
// Numbers and how they are multiplied.
#include "crate/kernels/detail/arithmetic.ipp"
#include "crate/kernels/detail/exponential.ipp"
// Products.
#include "crate/kernels/detail/tile.ipp"
// Of tiles.
#include "crate/kernels/detail/packed_product.ipp"
#include "crate/kernels/detail/packing.ipp"
#include "crate/kernels/detail/widening.ipp"
// Of products.
#include "crate/kernels/detail/attention_dropout.ipp"
// Of dropout.
#include "crate/kernels/detail/attention.ipp"
#include "crate/kernels/detail/attention_adjoint.ipp"
#include "crate/kernels/detail/normalise.ipp"
// On norms.
#include "crate/kernels/detail/layer_norm.ipp"
// What the other floors call.
#include "crate/kernels/detail/kernels.ipp"
