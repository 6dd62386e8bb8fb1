// SPDX-License-Identifier: MIT
// The bodies of attention.hpp.

namespace crate {

namespace detail {

/// The heads of Q, K and V.
template <class Q, class K, class V>
[[nodiscard]] auto attention_heads(const Q& queries, const K& keys, const V& values, Index heads,
                                   const TokenLayout& layout, const AttentionOptions& options) {
  using S = typename Q::Scalar;
  return attention_heads<S>({queries.data(), queries.outerStride()}, {keys.data(), keys.outerStride()},
                            {values.data(), values.outerStride()}, heads, queries.rows() / heads, layout, options);
}

}  // namespace detail

template <class QDerived, class KDerived>
Matrix<typename QDerived::Scalar> attention_probabilities(const Eigen::MatrixBase<QDerived>& queries,
                                                          const Eigen::MatrixBase<KDerived>& keys,
                                                          const AttentionOptions& options) {
  using S = typename QDerived::Scalar;
  check_shape("attention: keys", keys, queries.rows(), queries.cols());
  options.check(keys.cols());
  Matrix<S> p = static_cast<S>(options.logit_scale) * keys.transpose() * queries;
  for (Index j = 0; j < p.cols(); ++j) {
    const Index seen = detail::seen_keys(options, keys.cols(), j, 1);
    detail::softmax_columns_in_place(p.col(j).head(seen));
    p.col(j).tail(p.rows() - seen).setZero();
  }
  return p;
}

template <class QDerived, class KDerived, class VDerived>
Matrix<typename QDerived::Scalar> attention(const Eigen::MatrixBase<QDerived>& queries,
                                            const Eigen::MatrixBase<KDerived>& keys,
                                            const Eigen::MatrixBase<VDerived>& values, Index heads,
                                            const AttentionOptions& options) {
  const Index rows = queries.rows();
  check_option(heads >= 1 && rows % heads == 0, concatenate("attention: heads that divide ", rows, " rows"), heads);
  check_shape("attention: keys", keys, rows, queries.cols());
  check_shape("attention: values", values, rows, queries.cols());
  const Index p = rows / heads;
  Matrix<typename QDerived::Scalar> out(rows, queries.cols());
  for (Index row = 0; row < rows; row += p)
    out.middleRows(row, p).noalias() =
        values.middleRows(row, p) *
        attention_probabilities(queries.middleRows(row, p), keys.middleRows(row, p), options);
  return out;
}

}  // namespace crate
