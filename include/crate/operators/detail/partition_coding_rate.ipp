// SPDX-License-Identifier: MIT
// The bodies of partition_coding_rate.hpp.

#include <cstddef>
#include <numeric>
#include <vector>

namespace crate {

namespace detail {

/// What stands before and after T(W) = W (I + a W^T W)^{-1} in the gradient of the rate of a subset,
/// a T(Z diag(before)) diag(after): (N pi / n)^{1/2} and (n pi / N)^{1/2}. Both are 0 of an empty subset.
template <crate::Scalar S>
struct SubsetWeights {
  double count = 0;  ///< n
  Vector<S> before, after;

  template <class Derived>
  explicit SubsetWeights(const Eigen::MatrixBase<Derived>& shares) {
    const Vector<double> pi = shares.template cast<double>().transpose();
    const auto tokens = static_cast<double>(pi.size());
    count = pi.sum();
    // Divided first, as the reciprocal of a small count overflows. A count that is NaN is kept: tokens that are not
    // finite must not pass for an empty subset.
    before = (pi.array() / (count <= 0 ? 1 : count) * tokens).sqrt().matrix().template cast<S>();
    after = (pi * (count / tokens)).cwiseSqrt().template cast<S>();
  }
};

/// soft_partition of U^T Z.
template <crate::Scalar S>
void soft_partition_into(ConstTokens<S> projected, Index heads, double logit_scale, Tokens<S> partition) {
  const Index p = projected.rows() / heads;
  for (Index k = 0; k < heads; ++k)
    partition.row(k) = static_cast<S>(logit_scale) * projected.middleRows(k * p, p).colwise().squaredNorm();
  softmax_columns_in_place(partition);
}

template <class Z, class Pi>
void check_partition(const Eigen::MatrixBase<Z>& tokens, const Eigen::MatrixBase<Pi>& partition) {
  check_not_empty("coding rate of a partition: tokens", tokens);
  check_size("coding rate of a partition: columns of the partition", partition.cols(), tokens.cols());
  if (partition.size() > 0) check_option(!(partition.minCoeff() < 0), "shares of at least 0", partition.minCoeff());
}

}  // namespace detail

template <class ZDerived, class Bases>
requires detail::OneScalar<ZDerived, Bases> Matrix<typename ZDerived::Scalar> soft_partition(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces, double logit_scale) {
  using S = typename ZDerived::Scalar;
  detail::check_tokens_and_subspaces(tokens, subspaces);
  check_option(std::isfinite(logit_scale), "a finite logit_scale of the soft partition", logit_scale);
  Threads alone;
  Matrix<S> projected(subspaces.bases().cols(), tokens.cols()), partition(subspaces.heads(), tokens.cols());
  multiply(subspaces.bases().transpose(), evaluated(tokens), projected, alone);
  detail::soft_partition_into<S>(projected, subspaces.heads(), logit_scale, partition);
  return partition;
}

template <class ZDerived, class PiDerived>
requires detail::OneScalar<ZDerived>
double partition_coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<PiDerived>& partition,
                             const CodingRateOptions& options, Threads& threads) {
  using S = typename ZDerived::Scalar;
  options.check();
  detail::check_partition(tokens, partition);
  const auto& z = evaluated(tokens);
  std::vector<double> rates(static_cast<std::size_t>(partition.rows()));
  threads.for_each(partition.rows(), [&](Index k, int) {
    const detail::SubsetWeights<S> weights(partition.row(k));
    const Matrix<S> members = z * weights.before.asDiagonal();
    rates[static_cast<std::size_t>(k)] = weights.count / static_cast<double>(z.cols()) * coding_rate(members, options);
  });
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

template <class ZDerived, class PiDerived>
requires detail::OneScalar<ZDerived>
double partition_coding_rate(const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<PiDerived>& partition,
                             const CodingRateOptions& options) {
  Threads alone;
  return partition_coding_rate(tokens, partition, options, alone);
}

template <class ZDerived, class PiDerived>
requires detail::OneScalar<ZDerived> Plain<ZDerived> partition_coding_rate_gradient(
    const Eigen::MatrixBase<ZDerived>& tokens, const Eigen::MatrixBase<PiDerived>& partition,
    const CodingRateOptions& options) {
  using S = typename ZDerived::Scalar;
  options.check();
  detail::check_partition(tokens, partition);
  const auto& z = evaluated(tokens);
  Plain<ZDerived> gradient = Plain<ZDerived>::Zero(z.rows(), z.cols());
  for (Index k = 0; k < partition.rows(); ++k) {
    const detail::SubsetWeights<S> weights(partition.row(k));
    const Matrix<S> members = z * weights.before.asDiagonal();
    gradient += coding_rate_gradient(members, options) * weights.after.asDiagonal();
  }
  return gradient;
}

}  // namespace crate
