// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "crate/core/detail/count_of.hpp"
#include "plots/axis.hpp"

// Numbers in sentences.

namespace inspect_model {

using crate::detail::count_of;

inline std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, share < 0.01 ? "%.2f %%" : share < 0.1 ? "%.1f %%" : "%.0f %%", 100 * share);
  return text;
}

/// "falls from 5 to 3", "stays at 5", as far as the digits shown tell them apart.
inline std::string way_between(double first, double last) {
  const std::string from = plots::short_number(first), to = plots::short_number(last);
  if (from == to) return "stays at " + from;
  return (last < first ? "falls from " : "rises from ") + from + " to " + to;
}

}  // namespace inspect_model
