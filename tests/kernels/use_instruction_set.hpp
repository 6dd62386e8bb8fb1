// SPDX-License-Identifier: MIT
#pragma once

#include "crate/kernels/instruction_set.hpp"

namespace crate::test {

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
