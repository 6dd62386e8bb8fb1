// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "crate/core/errors.hpp"

namespace crate::detail {

/// "1 layer", "2 layers", "3 classes", "4 epochs": a number of things that an English noun with a regular plural names.
template <class Number>
[[nodiscard]] std::string count_of(Number number, std::string_view noun) {
  const bool takes_es = noun.ends_with('s') || noun.ends_with('x') || noun.ends_with("sh") ||
                        (noun.ends_with("ch") && !noun.ends_with("epoch"));
  return concatenate(number, " ", noun, number == Number{1} ? "" : takes_es ? "es" : "s");
}

}  // namespace crate::detail
