// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "crate/core/dropout.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/views.hpp"

namespace crate::detail {

/// Replaces every entry of every set, d x (total tokens), by 0 with the given probability, else by
/// itself / (1 - probability); their cotangent, too. Entry i of token j of a set takes number d j + i of DropoutDraws.
/// Free at probability 0.
template <class M>
void drop_sets(const TokenLayout& layout, double probability, const DropoutStream& stream, std::uint64_t place,
               M& tokens, Threads& threads) {
  check_dropout(probability);
  if (probability == 0) return;
  threads.for_each(layout.sets(), [&](Index set, int) {
    const DropoutDraws draws(stream, place, set, 0);
    auto tokens_of_set = tokens.middleCols(layout.begin(set), layout.length(set));
    for_each_columns(layout.length(set), threads, [&](Index first, Index count) {  // on several threads if it is alone
      with_kernels(instruction_set(), [&]<class K>(K) {
        K::drop_columns(draws, probability, tokens.rows(), first, count, columns_of(tokens_of_set));
      });
    });
  });
}

}  // namespace crate::detail
