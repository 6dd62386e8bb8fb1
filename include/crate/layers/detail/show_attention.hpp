// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/subspace_attention.hpp"

namespace crate::detail {

/// Shows the observer with which probabilities tokens attend to those of their set, as "attention": (K n) x (total
/// tokens), where n is the length of the longest set. Rows k n, ..., k n + n - 1 of column j are those of head k for
/// the query j, over the keys of its set in order. They are computed for this alone, and changing them has no effect.
/// `probabilities(k, begin, length, options)` computes them for head k and one set, keys x queries.
template <crate::Scalar S, class Probabilities>
void show_attention(const Pass<S>& pass, Index heads, AttentionOptions options, const Probabilities& probabilities) {
  const TokenLayout& layout = pass.layout();
  const Index longest = layout.longest();
  Matrix<S> shown = Matrix<S>::Zero(heads * longest, layout.tokens());
  for (Index s = 0; s < layout.sets(); ++s) {
    const Index begin = layout.begin(s), length = layout.length(s);
    options.visible = layout.visible(s);
    for (Index k = 0; k < heads; ++k)
      shown.block(k * longest, begin, length, length) = probabilities(k, begin, length, options);
  }
  pass.observe("attention", shown);
}

}  // namespace crate::detail
