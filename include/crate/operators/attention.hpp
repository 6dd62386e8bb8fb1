// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/kernels/attention_heads.hpp"
#include "crate/operators/softmax.hpp"
#include "crate/operators/subspace_attention.hpp"

// Attention of the transformer, arXiv 1706.03762, eq. (1), whose queries, keys and values are maps of their own:
//   P_k = softmax(logit_scale K_k^T Q_k),   A_k = V_k P_k,   k = 1, ..., K.
// Tokens are columns, where the paper has rows. Subspace attention is that of Q_k = K_k = V_k = U_k^T Z.

namespace crate {

namespace detail {

/// The heads of Q, K and V with these options, as kernels see them; the sets say which tokens are visible.
template <class Q, class K, class V>
[[nodiscard]] auto attention_heads(const Q& queries, const K& keys, const V& values, Index heads,
                                   const TokenLayout& layout, const AttentionOptions& options) {
  using S = typename Q::Scalar;
  return AttentionHeads<S>{.queries = columns_of(queries),
                           .keys = columns_of(keys),
                           .values = columns_of(values),
                           .count = heads,
                           .dim = queries.rows() / heads,
                           .layout = layout,
                           .causal = options.mask == AttentionMask::causal,
                           .scale = static_cast<S>(options.logit_scale)};
}

}  // namespace detail

/// P = softmax(logit_scale K^T Q) of one head on one token set, N x N: column j over the keys that query j sees, 0 for the
/// others.
template <class QDerived, class KDerived>
[[nodiscard]] Matrix<typename QDerived::Scalar> attention_probabilities(const Eigen::MatrixBase<QDerived>& queries,
                                                                        const Eigen::MatrixBase<KDerived>& keys,
                                                                        const AttentionOptions& options = {}) {
  using S = typename QDerived::Scalar;
  check_size("attention: rows of the keys", keys.rows(), queries.rows());
  check_size("attention: keys", keys.cols(), queries.cols());
  options.check(keys.cols());
  Matrix<S> p = static_cast<S>(options.logit_scale) * keys.transpose() * queries;
  for (Index j = 0; j < p.cols(); ++j) {
    const Index seen = detail::seen_keys(options, keys.cols(), j, 1);
    detail::softmax_columns_in_place(p.col(j).head(seen));
    p.col(j).tail(p.rows() - seen).setZero();
  }
  return p;
}

/// [A_1; ...; A_K] of Q, K and V, all (K p) x N, on one token set. Throws ShapeError unless they are of one size that K
/// divides.
template <class QDerived, class KDerived, class VDerived>
[[nodiscard]] Matrix<typename QDerived::Scalar> attention(const Eigen::MatrixBase<QDerived>& queries,
                                                          const Eigen::MatrixBase<KDerived>& keys,
                                                          const Eigen::MatrixBase<VDerived>& values, Index heads,
                                                          const AttentionOptions& options = {}) {
  check_option(heads >= 1 && queries.rows() % heads == 0, concatenate("heads that divide ", queries.rows(), " rows"),
               heads);
  check_shape("attention: values", values, queries.rows(), queries.cols());
  const Index p = queries.rows() / heads;
  Matrix<typename QDerived::Scalar> out(values.rows(), values.cols());
  for (Index k = 0; k < heads; ++k) {
    out.middleRows(k * p, p).noalias() =
        values.middleRows(k * p, p) *
        attention_probabilities(queries.middleRows(k * p, p), keys.middleRows(k * p, p), options);
  }
  return out;
}

}  // namespace crate
