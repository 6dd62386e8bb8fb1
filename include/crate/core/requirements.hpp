// SPDX-License-Identifier: MIT
#pragma once

// What the library asks of the flags and macros it is compiled with, before anything that other ones would make pages
// of errors of, or wrong numbers. What is missing is said in one sentence. g++ and clang go on after an #error;
// including a file that does not exist ends them.

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 202002L
#error "crate needs C++20: compile with -std=c++20 or later (g++ 11, clang 14 or newer)"

// Readers and checks tell what is not a number by comparisons that -ffinite-math-only leaves out; exp and the norms
// depend on sums in the order written. g++ tells of -fassociative-math by a macro, clang does not: there it passes,
// alone or as a part of -funsafe-math-optimizations. Arithmetic in twice the digits keeps its order all the same
// (operators/detail/double_double.hpp); other results lose digits.
#elif defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0) || \
    defined(__ASSOCIATIVE_MATH__)
#error "crate needs IEEE arithmetic, NaN and infinities included: compile without -ffast-math, -Ofast and their parts"

// Readers fill matrices column after column.
#elif defined(EIGEN_DEFAULT_TO_ROW_MAJOR)
#error "crate needs matrices that are column-major by default: compile without EIGEN_DEFAULT_TO_ROW_MAJOR"

// Assignments to matrices of another size would write out of bounds where assertions are off.
#elif defined(EIGEN_NO_AUTOMATIC_RESIZING)
#error "crate needs matrices that take the size of what is assigned: compile without EIGEN_NO_AUTOMATIC_RESIZING"

#else
#define CRATE_REQUIREMENTS_HOLD
#endif

#ifdef CRATE_REQUIREMENTS_HOLD
#undef CRATE_REQUIREMENTS_HOLD
#else
#include "crate/stopped: see the error above"
#endif
