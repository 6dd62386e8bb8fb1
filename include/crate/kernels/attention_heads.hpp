// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "crate/core/dropout.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/kernels/views.hpp"

// Attention as kernels see it.

namespace crate::detail {

/// So many queries at a time; dropout draws numbers for so many, one block after the other.
inline constexpr Index query_block = 128;

/// How many keys the queries first, ..., first + n - 1 of a set see, all together.
[[nodiscard]] constexpr Index seen_keys(bool causal, Index visible, Index first, Index n) {
  return causal ? std::min(visible, first + n) : visible;
}

/// The heads of all sets, one below the other in (K p) x (total tokens). A query sees the visible keys of its set; if
/// causal, those up to its own.
template <Scalar S>
struct AttentionHeads {
  Columns<const S> queries, keys, values;  ///< Q, K and V; in subspace attention one and the same H
  Index count = 0, dim = 0;                ///< K and p
  const TokenLayout& layout;
  bool causal = false;
  S scale = 1;  ///< of the logits
};

/// Keys and values of a set, heads `head_step` numbers apart. A head's tokens are contiguous, p numbers each: a query
/// reads one run of memory. `past` are of tokens that went before, then come those of the queries.
template <Scalar S>
struct CachedSet {
  const S *keys, *values;
  Index head_step, past;
};

/// The heads of queries, one below the other in (K p) x (total queries), each of which sees what went before it in its
/// set and itself.
template <Scalar S>
struct CachedHeads {
  Columns<const S> queries;
  const CachedSet<S>* sets = nullptr;  ///< one for each of the layout
  Index count = 0, dim = 0;            ///< K and p
  const TokenLayout& layout;           ///< of the queries
  S scale = 1;                         ///< of the logits
};

/// dL/dQ, dL/dK and dL/dV, as large as what they belong to.
template <Scalar S>
struct AttentionCotangents {
  Columns<S> queries, keys, values;
};

/// Dropout of attention probabilities: probability 0 for none.
struct AttentionDropout {
  double probability = 0;
  DropoutStream stream = {};
  std::uint64_t place = 0;
};

/// What a softmax over the keys of every query took off its logits and multiplied the exponentials by: the
/// probabilities are exp(logit - largest) inverse_sum. Both (total tokens) x K.
template <class T>
struct SoftmaxTerms {
  Columns<T> largest, inverse_sum;
};

/// The terms in one piece of memory, (total tokens) x (2 K).
template <class M>
[[nodiscard]] auto softmax_terms(M& memory) {
  const auto all = columns_of(memory);
  return SoftmaxTerms<std::remove_pointer_t<decltype(all.first)>>{all, {all.at(0, memory.cols() / 2), all.stride}};
}

}  // namespace crate::detail
