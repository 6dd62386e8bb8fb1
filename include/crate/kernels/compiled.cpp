// SPDX-License-Identifier: MIT
// The kernels, compiled once for a whole program: compile this file, and define CRATE_COMPILED_KERNELS in all others.
// By CMake: target_link_libraries(program PRIVATE crate::compiled_kernels).

#undef CRATE_COMPILED_KERNELS
#include "crate/kernels/attention.hpp"
#include "crate/kernels/packed_product.hpp"
#include "crate/kernels/product.hpp"

#define CRATE_INSTANCE template
#include "crate/kernels/detail/attention_instances.ipp"
#include "crate/kernels/detail/packed_product_instances.ipp"
#include "crate/kernels/detail/product_instances.ipp"
