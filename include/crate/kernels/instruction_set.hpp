// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/errors.hpp"

#if defined(__x86_64__) || defined(__i386__)
#define CRATE_KERNELS_X86 1
#endif

namespace crate {

/// The vector instructions that products, attention and norms run on. Every program holds kernels for all of them,
/// whatever flags it is compiled with.
enum class InstructionSet {
  portable,         ///< 128-bit vectors as the compiler makes them: SSE2 on x86-64, NEON on ARM
  avx2,             ///< 256-bit vectors with fused multiply-add
  avx512,           ///< 512-bit vectors
  avx512_bfloat16,  ///< and dot products of bfloat16 pairs
};

inline constexpr std::array<std::string_view, 4> instruction_set_names{"portable", "avx2", "avx512", "avx512_bfloat16"};

[[nodiscard]] constexpr std::string_view name_of(InstructionSet set) {
  return instruction_set_names[static_cast<std::size_t>(set)];
}

/// Whether the processor at hand and its operating system can run these.
[[nodiscard]] inline bool is_supported(InstructionSet set) {
#ifdef CRATE_KERNELS_X86
  switch (set) {
    case InstructionSet::portable:
      return true;
    case InstructionSet::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case InstructionSet::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             is_supported(InstructionSet::avx2);
    case InstructionSet::avx512_bfloat16:
      return __builtin_cpu_supports("avx512bf16") && is_supported(InstructionSet::avx512);
  }
  return false;
#else
  return set == InstructionSet::portable;
#endif
}

/// Those that this processor has, the narrowest first.
[[nodiscard]] inline std::vector<InstructionSet> supported_instruction_sets() {
  std::vector<InstructionSet> sets;
  for (std::size_t i = 0; i < instruction_set_names.size(); ++i)
    if (const auto set = static_cast<InstructionSet>(i); is_supported(set)) sets.push_back(set);
  return sets;
}

namespace detail {

/// The widest that the processor has, but for dot products of bfloat16 where these are slower than multiply-adds of
/// floats: an Intel processor makes them at half of that rate, one of AMD at twice (benchmark `arithmetic` in bench/).
[[nodiscard]] inline InstructionSet fastest_instruction_set() {
#ifdef CRATE_KERNELS_X86
  if (is_supported(InstructionSet::avx512_bfloat16) && __builtin_cpu_is("amd")) return InstructionSet::avx512_bfloat16;
#endif
  if (is_supported(InstructionSet::avx512)) return InstructionSet::avx512;
  return is_supported(InstructionSet::avx2) ? InstructionSet::avx2 : InstructionSet::portable;
}

/// The requirement that a name or a set did not meet, as in "one that this processor has (portable, avx2)".
[[nodiscard]] inline std::string supported_set_requirement() {
  std::string names;
  for (const InstructionSet set : supported_instruction_sets())
    names.append(names.empty() ? "" : ", ").append(name_of(set));
  return "one that this processor has (" + names + ")";
}

/// What the environment variable CRATE_INSTRUCTION_SET names, or else the fastest. Throws OptionError if it names none
/// that this processor has.
[[nodiscard]] inline InstructionSet first_instruction_set() {
  const char* const value = std::getenv("CRATE_INSTRUCTION_SET");  // NOLINT(concurrency-mt-unsafe): it is only read
  const std::string_view wanted = value == nullptr ? "" : value;
  if (wanted.empty()) return fastest_instruction_set();
  for (const InstructionSet set : supported_instruction_sets())
    if (wanted == name_of(set)) return set;
  throw OptionError(concatenate("environment variable CRATE_INSTRUCTION_SET: expected ", supported_set_requirement(),
                                ", found \"", wanted, "\""));
}

inline std::atomic<InstructionSet>& chosen_instruction_set() {
  static std::atomic<InstructionSet> chosen{first_instruction_set()};
  return chosen;
}

}  // namespace detail

/// What kernels run on: the fastest that the processor has, unless the environment variable CRATE_INSTRUCTION_SET or
/// use_instruction_set says otherwise. Throws OptionError if the variable names none that the processor has.
[[nodiscard]] inline InstructionSet instruction_set() {
  return detail::chosen_instruction_set().load(std::memory_order_relaxed);
}

/// From now on kernels run on these. Results change in their last bits; weights that were folded keep what they were
/// folded for. Throws OptionError if the processor lacks them.
inline void use_instruction_set(InstructionSet set) {
  if (!is_supported(set))
    throw OptionError(
        concatenate("instruction set: expected ", detail::supported_set_requirement(), ", found ", name_of(set)));
  detail::chosen_instruction_set() = set;
}

}  // namespace crate
