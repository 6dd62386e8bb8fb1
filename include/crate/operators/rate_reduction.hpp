// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/operators/coding_rate.hpp"
#include "crate/operators/subspace_coding_rate.hpp"

// Rate reduction and sparse rate reduction, the objectives that the layers optimise, and their gradients. Letters as in
// coding_rate.hpp.

namespace crate {

/// The rate reduction Delta R(Z | U_[K]) = R(Z) - R^c(Z | U_[K]): what knowing the subspaces saves. To maximise it is
/// maximal coding rate reduction, MCR^2. Source: arXiv 2311.13110, section 2, and 2006.08558.
/// Throws as coding_rate, and ShapeError unless U has as many rows as Z.
template <class ZDerived, class Bases>
[[nodiscard]] double rate_reduction(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                    const CodingRateOptions& options = {}) {
  const auto& z = evaluated(tokens);
  return coding_rate(z, options) - subspace_coding_rate(z, subspaces, options);
}

/// d Delta R = dR - dR^c, by Z and by U.
template <class ZDerived, class Bases>
[[nodiscard]] SubspaceGradient<Plain<ZDerived>, Plain<Bases>> rate_reduction_gradient(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
    const CodingRateOptions& options = {}) {
  const auto& z = evaluated(tokens);
  auto gradient = subspace_coding_rate_gradient(z, subspaces, options);
  gradient.tokens = coding_rate_gradient(z, options) - gradient.tokens;
  gradient.bases = -gradient.bases;
  return gradient;
}

/// How sparsity counts in the objective.
enum class SparsityNorm {
  l0,  ///< the number of entries that are not exactly zero, as in the paper; its gradient is zero almost everywhere
  l1   ///< the sum of absolute values, its convex relaxation; its gradient is the sign, 0 at 0
};

struct SparseRateReductionOptions {
  double epsilon = 0.5;  ///< epsilon > 0
  double lambda = 0.1;   ///< weight of the norm, lambda >= 0
  SparsityNorm norm = SparsityNorm::l0;

  void check() const {
    rate().check();
    check_option(std::isfinite(lambda) && lambda >= 0, "a finite lambda >= 0 of the sparse rate reduction", lambda);
  }
  [[nodiscard]] CodingRateOptions rate() const { return {.epsilon = epsilon}; }
};

/// Delta R(Z | U_[K]) - lambda ||Z||, which representations should make large. Source: arXiv 2311.13110, section 2.
/// Throws as rate_reduction, and OptionError unless lambda >= 0 and finite.
template <class ZDerived, class Bases>
[[nodiscard]] double sparse_rate_reduction(const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
                                           const SparseRateReductionOptions& options = {}) {
  options.check();
  const auto& z = evaluated(tokens);
  const double norm = options.norm == SparsityNorm::l0 ? static_cast<double>((z.array() != 0).count())
                                                       : z.template cast<double>().template lpNorm<1>();
  return rate_reduction(z, subspaces, options.rate()) - options.lambda * norm;
}

/// d Delta R - lambda d||Z||, by Z and by U.
template <class ZDerived, class Bases>
[[nodiscard]] SubspaceGradient<Plain<ZDerived>, Plain<Bases>> sparse_rate_reduction_gradient(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
    const SparseRateReductionOptions& options = {}) {
  options.check();
  const auto& z = evaluated(tokens);
  auto gradient = rate_reduction_gradient(z, subspaces, options.rate());
  if (options.norm == SparsityNorm::l1)
    gradient.tokens -= static_cast<typename ZDerived::Scalar>(options.lambda) * z.cwiseSign();
  return gradient;
}

}  // namespace crate
