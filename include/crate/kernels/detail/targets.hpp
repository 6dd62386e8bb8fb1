// SPDX-License-Identifier: MIT
#pragma once

// The kernels, one body for each instruction set. What stands in the .ipp files of this folder is compiled once for
// each, in a namespace of its own, between pragmas that let the compiler use the instructions whatever flags the
// program is compiled with. Functions and lambdas inside inherit the pragma in g++ and clang; no vector type crosses
// from one side to the other.
//   CRATE_TARGET        the namespace
//   CRATE_TARGET_BYTES  of a register
// The program's flags still add their instructions to those of a body: under -march=native the portable one adds and
// multiplies in one rounding. In a program of units with different flags the linker would take one of two such bodies
// for both. So each stands in an inline namespace that names what the flags of its unit add:
//   CRATE_UNIT

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/attention_heads.hpp"
#include "crate/kernels/bfloat16.hpp"
#include "crate/kernels/detail/vector_types.hpp"
#include "crate/kernels/epilogue.hpp"
#include "crate/kernels/gelu_form.hpp"
#include "crate/kernels/instruction_set.hpp"
#include "crate/kernels/norm_views.hpp"
#include "crate/kernels/tile_shape.hpp"
#include "crate/kernels/views.hpp"

#ifdef CRATE_KERNELS_X86
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define CRATE_UNIT unit_with_avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define CRATE_UNIT unit_with_avx2
#elif defined(__AVX__)
#define CRATE_UNIT unit_with_avx
#else
#define CRATE_UNIT plain_unit
#endif

#define CRATE_TARGET portable
#define CRATE_TARGET_BYTES 16
#include "crate/kernels/detail/bodies.ipp"
#undef CRATE_TARGET
#undef CRATE_TARGET_BYTES

#ifdef CRATE_KERNELS_X86

#define CRATE_TARGET avx2
#define CRATE_TARGET_BYTES 32
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "crate/kernels/detail/bodies.ipp"
#pragma clang attribute pop
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#include "crate/kernels/detail/bodies.ipp"
#pragma GCC pop_options
#endif
#undef CRATE_TARGET
#undef CRATE_TARGET_BYTES

// With the dot products of bfloat16, which nothing but Arithmetic<bfloat16> uses.
#define CRATE_TARGET avx512
#define CRATE_TARGET_BYTES 64
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma"))), \
                             apply_to = function)
#pragma clang attribute push(__attribute__((min_vector_width(512))), \
                             apply_to = function)  // else half, under -march=native
#include "crate/kernels/detail/bodies.ipp"
#pragma clang attribute pop
#pragma clang attribute pop
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,prefer-vector-width=512")
#include "crate/kernels/detail/bodies.ipp"
#pragma GCC pop_options
#endif
#undef CRATE_TARGET
#undef CRATE_TARGET_BYTES

#endif

#undef CRATE_UNIT

namespace crate::detail {

/// body(kernels) with the kernels of the instruction set.
template <class Body>
decltype(auto) with_kernels([[maybe_unused]] InstructionSet set, const Body& body) {
#ifdef CRATE_KERNELS_X86
  switch (set) {
    case InstructionSet::avx2:
      return body(avx2::Kernels());
    case InstructionSet::avx512:
    case InstructionSet::avx512_bfloat16:
      return body(avx512::Kernels());
    case InstructionSet::portable:
      break;
  }
#endif
  return body(portable::Kernels());
}

}  // namespace crate::detail
