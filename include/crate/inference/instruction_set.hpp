// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace crate {

/// The vector instructions that folded models are compiled for in this program, which its flags decide (-march), and their speed with
/// them: "AVX-512 with bfloat16", "AVX-512", "AVX with FMA", "AVX" or "128-bit vectors".
[[nodiscard]] constexpr std::string_view instruction_set() {
#if defined(__AVX512BF16__)
  return "AVX-512 with bfloat16";
#elif defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX__) && defined(__FMA__)
  return "AVX with FMA";
#elif defined(__AVX__)
  return "AVX";
#else
  return "128-bit vectors";
#endif
}

}  // namespace crate
