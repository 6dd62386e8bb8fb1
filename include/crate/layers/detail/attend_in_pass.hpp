// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/attention.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/attention.hpp"

namespace crate::detail {

/// Throws OptionError unless tokens see none of those that follow.
inline void check_goes_on(const AttentionOptions& attention) {
  if (attention.mask != AttentionMask::causal)
    throw OptionError("attention that goes on from a cache: expected a causal mask, found none");
}

/// Copies the keys and values of a pass's tokens behind those of the tokens before. Keys that are values are kept once.
template <Scalar S>
void keep_in_cache(const AttentionHeads<S>& heads, const typename TokenCache<S>::Layer& kept,
                   const TokenCache<S>& cache) {
  const auto keep = [&](Columns<const S> tokens, Index s, Index row) {
    const Index first = heads.layout.begin(s), count = heads.layout.length(s), width = heads.count * heads.dim;
    for (Index head = 0; head < width; head += heads.dim) {
      const Columns<S> to = kept.rows(s, row + head, heads.dim);
      Eigen::Map<Matrix<S>>(to.at(0, cache.past(s)), heads.dim, count) =
          Eigen::Map<const Matrix<S>, 0, Eigen::OuterStride<>>(tokens.at(head, first), heads.dim, count,
                                                               Eigen::OuterStride<>(tokens.stride));
    }
  };
  for (Index s = 0; s < heads.layout.sets(); ++s) {
    keep(heads.keys, s, 0);
    if (heads.values.first != heads.keys.first) keep(heads.values, s, heads.count * heads.dim);
  }
}

/// attend_heads among the tokens of a pass; with a cache, also to those that went before, and leaves in it what the
/// tokens that follow need.
template <Scalar S, class Out>
void attend_in_pass(InstructionSet set, const AttentionHeads<S>& heads, bool first_tokens, Columns<Out> out,
                    Pass<S>& pass) {
  TokenCache<S>* const cache = pass.cache();
  const auto attend_within = [&] { attend_heads<S>(set, heads, first_tokens, out, pass.workspace, pass.threads); };
  if (cache == nullptr) return attend_within();
  const Index width = heads.count * heads.dim;
  const bool is_one = heads.values.first == heads.keys.first;
  const auto kept = cache->next_layer(is_one ? width : 2 * width);
  keep_in_cache(heads, kept, *cache);
  Workspace::Frame frame(pass.workspace);
  auto* const sets = frame.array<CachedSet<S>>(heads.layout.sets());
  bool has_past = false;
  for (Index s = 0; s < heads.layout.sets(); ++s) {
    const Columns<S> keys = kept.rows(s, 0, heads.dim), values = is_one ? keys : kept.rows(s, width, heads.dim);
    sets[s] = {keys.first, values.first, heads.dim * cache->longest(), cache->past(s)};
    has_past = has_past || sets[s].past > 0;
  }
  if (!has_past) return attend_within();
  attend_cached<S>(set, {heads.queries, sets, heads.count, heads.dim, heads.layout, heads.scale}, out, pass.workspace,
                   pass.threads);
}

}  // namespace crate::detail
