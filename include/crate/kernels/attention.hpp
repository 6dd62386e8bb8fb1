// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/views.hpp"

namespace crate::detail {

/// For every set of the layout and every head: out = SSA of the head's rows of H, both (heads * head_dim) x (total tokens). Of H,
/// whole registers may be read at the last rows. Heads stored as bfloat16 have an even dimension. Logits are scaled; if causal, a query
/// sees the keys up to its own. With `first_tokens`, only those of the first token of each set, side by side.
template <Scalar S, class Out>
void attend_heads(InstructionSet set, Columns<const S> h, Index heads, Index head_dim, const TokenLayout& layout,
                  bool causal, S scale, bool first_tokens, Columns<Out> out, Workspace& workspace, Threads& threads) {
  with_kernels(set, [&]<class K>(K) {
    K::template attend_heads<S>(h, heads, head_dim, layout, causal, scale, first_tokens, out, workspace, threads);
  });
}

/// The room that attend_heads takes.
template <Scalar S>
[[nodiscard]] std::size_t attention_room(InstructionSet set, Index head_dim, const TokenLayout& layout, int threads) {
  return with_kernels(set, [&]<class K>(K) {
    return Workspace::room<S>(K::template attention_numbers<S>(head_dim, layout) * threads);
  });
}

}  // namespace crate::detail
