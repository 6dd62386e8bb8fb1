// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "crate/inference/kernels/arithmetic.hpp"

namespace crate {

/// The vector instructions that folded models use in this program, as its flags (-march) decide: "AVX-512 with bfloat16", "AVX-512",
/// "AVX with FMA", "AVX" or "128-bit vectors".
[[nodiscard]] constexpr std::string_view instruction_set() {
#if defined(__FMA__)
  constexpr std::string_view avx = "AVX with FMA";
#else
  constexpr std::string_view avx = "AVX";
#endif
  if (multiplies_bfloat16) return "AVX-512 with bfloat16";
  if (detail::native_vector_bytes == 64) return "AVX-512";
  return detail::native_vector_bytes == 32 ? avx : "128-bit vectors";
}

}  // namespace crate
