// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Core>

// Eigen aligns the memory of matrices to the widest registers that a unit is compiled for (plain x86-64: 16 bytes, by
// malloc; -mavx2: 32 and -march=x86-64-v4: 64, by a malloc of its own), but the functions that allocate, free and read
// them have the same names in every unit. A program of units that differ in this frees what was never allocated, even
// where they share no matrix. So the linker refuses to join them. Compile all units with the same processor flags, or
// each of them with
//   -DEIGEN_MAX_ALIGN_BYTES=64 -DEIGEN_MAX_STATIC_ALIGN_BYTES=64
// Then they may differ in processor flags and share matrices and models. Other libraries that take or give Eigen's
// matrices need the same definitions. Shared libraries are linked when a program starts, which nobody checks.
//
// How: each unit defines one symbol, whose name is the advice, in a group of sections that is named after the
// alignment. Of groups of one name the linker keeps one. Of two names it keeps both, and with them two definitions of
// the symbol.
#ifdef __ELF__
#define CRATE_DEFINE_IN_GROUP(max, max_static, by_malloc)                                                            \
  [[gnu::used, gnu::visibility("hidden")]] inline const char crate_alignment_##max##_##max_static##_##by_malloc = 0; \
  extern const char crate_compile_all_units_with_the_same_EIGEN_MAX_ALIGN_BYTES_see_crate_core_alignment_hpp         \
      [[gnu::visibility("hidden"), gnu::alias("crate_alignment_" #max "_" #max_static "_" #by_malloc)]]
#define CRATE_EXPANDED(macro, ...) macro(__VA_ARGS__)

extern "C" {
// NOLINTNEXTLINE(misc-definitions-in-headers)
CRATE_EXPANDED(CRATE_DEFINE_IN_GROUP, EIGEN_MAX_ALIGN_BYTES, EIGEN_MAX_STATIC_ALIGN_BYTES,
               EIGEN_MALLOC_ALREADY_ALIGNED);
}

#undef CRATE_DEFINE_IN_GROUP
#undef CRATE_EXPANDED
#endif
