// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/detail/fingerprint.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/kernels/instruction_set.hpp"
#include "crate/training/communicator.hpp"
#include "crate/training/interruption.hpp"
#include "crate/training/recipe.hpp"
#include "crate/version.hpp"

// What ranks that train together must have in common.

namespace crate::detail {

/// The number of examples of a source, and its fingerprint() if it has one.
template <class Source>
[[nodiscard]] std::string source_text(const Source& source) {
  std::string text = concatenate(source.size(), " examples");
  if constexpr (requires { source.fingerprint(); }) text += concatenate(" of fingerprint ", source.fingerprint());
  return text;
}

/// A fingerprint of a state, to detect a difference in any bit.
[[nodiscard]] inline std::uint64_t fingerprint_of(const ConstParameterList& state) {
  std::uint64_t found = 0;
  for (const ConstParameter& parameter : state)
    found = fingerprint(std::span(static_cast<const std::byte*>(parameter.data), parameter.bytes()), found);
  return found;
}

/// Throws Error unless all ranks run the same version with the same instruction set.
inline void check_same_program(Communicator& ranks) {
  check_agreement(
      ranks, "the program",
      {{"version of crate", concatenate(CRATE_VERSION_MAJOR, '.', CRATE_VERSION_MINOR, '.', CRATE_VERSION_PATCH)},
       {"instruction set", std::string(name_of(instruction_set()))}});
}

/// Throws Error unless the states of all ranks are bit-identical.
template <class State>
void check_same_state(Communicator& ranks, const State& state) {
  if (ranks.size() == 1) return;
  check_agreement(ranks, "state",
                  {{"fingerprint of the model", exact_text(fingerprint_of(list_parameters(state.model)))},
                   {"fingerprint of the state", exact_text(fingerprint_of(list_parameters(state)))}});
}

/// Whether any rank was interrupted.
[[nodiscard]] inline bool is_interrupted(Communicator& ranks) {
  constexpr std::string_view yes = "interrupted";
  const std::vector<std::string> all = ranks.gather("the end of a step", Interruption::noticed() ? yes : "");
  return std::find(all.begin(), all.end(), yes) != all.end();
}

}  // namespace crate::detail
