// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace crate::testing {

/// What a check of a law found. True in a condition if the law holds;
/// the report says what was expected and what was found.
struct Finding {
  bool holds = true;
  std::string report = {};

  explicit operator bool() const { return holds; }
};

}  // namespace crate::testing
