// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace crate::test {

[[nodiscard]] inline std::string fixture_path(const std::string& name) {
  return std::string(CRATE_TEST_FIXTURES) + "/" + name;
}

/// Of a small CRATE classifier.
inline const std::string weights_file = fixture_path("classifier_weights.safetensors");

}  // namespace crate::test
