// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace crate::testing {

/// The result of checking a law. Converts to true if the law holds; the report states what was expected and found.
struct Finding {
  bool holds = true;
  std::string report = {};

  explicit operator bool() const { return holds; }
};

}  // namespace crate::testing
