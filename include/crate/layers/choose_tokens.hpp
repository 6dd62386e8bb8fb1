// SPDX-License-Identifier: MIT
#pragma once

#include <iterator>
#include <string>

#include "crate/core/token_sets.hpp"
#include "crate/layers/select_tokens.hpp"

namespace crate {

namespace detail {

/// What TokenLayout::with_chosen names; all, in their sets, if it names none.
struct ChosenTokens {
  static std::string formula(const std::string& argument) { return argument; }

  static TokenLayout layout_after(const TokenLayout& layout) {
    if (!layout.chosen()) return layout;
    const Index count = std::ssize(*layout.chosen());
    return TokenLayout::equal(count > 0 ? 1 : 0, count);
  }

  template <class Body>
  static void for_each(const TokenLayout& layout, const Body& body) {
    if (!layout.chosen()) return body(Index{0}, Index{0}, layout.tokens());
    Index to = 0;
    for (const Index from : *layout.chosen()) body(from, to++, Index{1});
  }
};

}  // namespace detail

/// The tokens that TokenLayout::with_chosen names, as one set; all, in their sets, if it names none. In front of what
/// is costly for each token and needs the others no more, such as a head with a large vocabulary.
template <crate::Scalar S>
using ChooseTokens = SelectTokens<S, detail::ChosenTokens>;

}  // namespace crate
