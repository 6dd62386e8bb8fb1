// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/kernels/attention_heads.hpp"
#include "crate/operators/softmax.hpp"
#include "crate/operators/subspace_attention.hpp"

// Attention of the transformer, whose queries, keys and values are maps of their own. Source: arXiv 1706.03762, eq.
// (1), with tokens as columns. Subspace attention is that of Q_k = K_k = V_k = U_k^T Z.

namespace crate {

/// P = softmax(logit_scale K^T Q) of one head on one token set, N x N: column j over the keys that query j sees, 0 for
/// the others. Throws ShapeError unless Q and K, p x N, are of one size.
template <class QDerived, class KDerived>
[[nodiscard]] Matrix<typename QDerived::Scalar> attention_probabilities(const Eigen::MatrixBase<QDerived>& queries,
                                                                        const Eigen::MatrixBase<KDerived>& keys,
                                                                        const AttentionOptions& options = {});

/// [V_1 P_1; ...; V_K P_K], P_k = softmax(logit_scale K_k^T Q_k), of Q, K and V on one token set, all (K p) x N. Throws
/// ShapeError unless they are of one size, OptionError unless the number of heads divides their rows.
template <class QDerived, class KDerived, class VDerived>
[[nodiscard]] Matrix<typename QDerived::Scalar> attention(const Eigen::MatrixBase<QDerived>& queries,
                                                          const Eigen::MatrixBase<KDerived>& keys,
                                                          const Eigen::MatrixBase<VDerived>& values, Index heads,
                                                          const AttentionOptions& options = {});

}  // namespace crate

#include "crate/operators/detail/attention.ipp"
