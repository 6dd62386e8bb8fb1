// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>

#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/attention_heads.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/views.hpp"

// Attention: V_k P_k, P_k = softmax(scale K_k^T Q_k), for every head k of every set. In subspace attention SSA_k
// queries, keys and values are one: Q_k = K_k = V_k = H_k.

namespace crate::detail {

/// out = [V_1 P_1; ...; V_K P_K], (K p) x (total tokens). With `first_tokens`, only those of the first token of each
/// set, side by side. Heads stored as bfloat16 have an even dimension; instruction sets that multiply bfloat16 then
/// average values that are rounded to it, with probabilities that are, too. Logits are products of floats.
template <Scalar S, class Out>
void attend_heads(InstructionSet set, const AttentionHeads<S>& heads, bool first_tokens, Columns<Out> out,
                  Workspace& workspace, Threads& threads) {
  with_kernels(set, [&]<class K>(K) {
    if constexpr (std::same_as<Out, bfloat16> && K::has_bfloat16)
      if (multiplies_bfloat16(set))
        return K::template attend_heads<bfloat16>(heads, first_tokens, {}, {}, out, workspace, threads);
    K::template attend_heads<S>(heads, first_tokens, {}, {}, out, workspace, threads);
  });
}

/// The same for queries that follow other tokens, out (K p) x (total queries). Averages are taken of numbers that are
/// not rounded.
template <Scalar S, class Out>
void attend_cached(InstructionSet set, const CachedHeads<S>& heads, Columns<Out> out, Workspace& workspace,
                   Threads& threads) {
  with_kernels(set, [&]<class K>(K) { K::attend_cached(heads, out, workspace, threads); });
}

/// The same for all tokens, with dropout of probabilities, and keeps what attend_heads_adjoint needs of the softmax.
template <Scalar S>
void attend_heads_recorded(InstructionSet set, const AttentionHeads<S>& heads, const AttentionDropout& dropout,
                           SoftmaxTerms<S> softmax, Columns<S> out, Workspace& workspace, Threads& threads) {
  with_kernels(
      set, [&]<class K>(K) { K::template attend_heads<S>(heads, false, dropout, softmax, out, workspace, threads); });
}

/// The adjoint of attend_heads_recorded where Q = K = V = H, from what it kept and what it returned:
/// h_cotangent = dL/dH for the cotangent C of the result, all (K p) x (total tokens). With D = diag(P_k^T H_k^T C_k)
/// and dS = P_k .* (H_k^T C_k - 1 D^T),
///   dL/dH_k = C_k P_k^T + scale H_k (dS + dS^T).
/// With dropout, C_k P_k^T and H_k^T C_k go with what was dropped.
template <Scalar S>
void attend_heads_adjoint(InstructionSet set, const AttentionHeads<S>& heads, const AttentionDropout& dropout,
                          SoftmaxTerms<const S> softmax, Columns<const S> out, Columns<const S> out_cotangent,
                          Columns<S> h_cotangent, Workspace& workspace, Threads& threads) {
  with_kernels(set, [&]<class K>(K) {
    K::attend_heads_adjoint(heads, dropout, softmax, out, out_cotangent, h_cotangent, workspace, threads);
  });
}

/// The same where queries, keys and values are others. With D = diag(P_k^T V_k^T C_k) and
/// dS = P_k .* (V_k^T C_k - 1 D^T),
///   dL/dQ_k = scale K_k dS,   dL/dK_k = scale Q_k dS^T,   dL/dV_k = C_k P_k^T.
template <Scalar S>
void attend_heads_adjoint(InstructionSet set, const AttentionHeads<S>& heads, const AttentionDropout& dropout,
                          SoftmaxTerms<const S> softmax, Columns<const S> out, Columns<const S> out_cotangent,
                          const AttentionCotangents<S>& cotangents, Workspace& workspace, Threads& threads) {
  with_kernels(set, [&]<class K>(K) {
    K::attend_heads_adjoint(heads, dropout, softmax, out, out_cotangent, cotangents, workspace, threads);
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

#ifdef CRATE_COMPILED_KERNELS
#define CRATE_INSTANCE extern template
#include "crate/kernels/detail/attention_instances.ipp"
#undef CRATE_INSTANCE
#endif
