// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "crate/kernels/instruction_set.hpp"

namespace crate::test {

/// Those of this processor for which float and double have kernels of their own: in avx512_bfloat16 only bfloat16 has.
[[nodiscard]] inline std::vector<InstructionSet> instruction_sets_of_floats() {
  std::vector<InstructionSet> sets = supported_instruction_sets();
  std::erase(sets, InstructionSet::avx512_bfloat16);
  return sets;
}

/// Kernels run on these instructions as long as it lives.
class UseInstructionSet {
 public:
  explicit UseInstructionSet(InstructionSet set) { use_instruction_set(set); }
  UseInstructionSet(const UseInstructionSet&) = delete;
  UseInstructionSet& operator=(const UseInstructionSet&) = delete;
  ~UseInstructionSet() { use_instruction_set(before_); }

 private:
  InstructionSet before_ = instruction_set();
};

}  // namespace crate::test
