// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "crate/core/token_sets.hpp"
#include "crate/layers/select_tokens.hpp"

namespace crate {

namespace detail {

struct AllButTheFirst {
  static std::string formula(const std::string& argument) { return "rest(" + argument + ")"; }

  static TokenLayout layout_after(const TokenLayout& layout) { return layout.longer_by(-1); }

  template <class Body>
  static void for_each(const TokenLayout& layout, const Body& body) {
    for (Index s = 0; s < layout.sets(); ++s) body(layout.begin(s) + 1, layout.begin(s) - s, layout.length(s) - 1);
  }
};

}  // namespace detail

/// All tokens of a set but the first.
template <crate::Scalar S>
using WithoutClassToken = SelectTokens<S, detail::AllButTheFirst>;

}  // namespace crate
