// SPDX-License-Identifier: MIT
// All kernels, for the instruction set that the macros of targets.hpp name. Each needs those before it.
// clang-format off

#include "crate/kernels/detail/simd.ipp"
#include "crate/kernels/detail/arithmetic.ipp"
#include "crate/kernels/detail/exponential.ipp"
#include "crate/kernels/detail/gelu.ipp"
#include "crate/kernels/detail/tile.ipp"
#include "crate/kernels/detail/packed_product.ipp"
#include "crate/kernels/detail/packing.ipp"
#include "crate/kernels/detail/widening.ipp"
#include "crate/kernels/detail/dropout.ipp"
#include "crate/kernels/detail/attention.ipp"
#include "crate/kernels/detail/cached_attention.ipp"
#include "crate/kernels/detail/attention_adjoint.ipp"
#include "crate/kernels/detail/separate_attention_adjoint.ipp"
#include "crate/kernels/detail/normalise.ipp"
#include "crate/kernels/detail/layer_norm.ipp"
#include "crate/kernels/detail/cholesky.ipp"
#include "crate/kernels/detail/kernels.ipp"
