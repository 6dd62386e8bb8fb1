// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/operators/softmax.hpp"
#include "crate/operators/subspaces.hpp"

// The signal-to-noise ratio of tokens with known subspaces, and a theorem by which attention alone raises it.
// Source: arXiv 2506.03790.
//
// Letters: Z tokens, d x N; those of cluster k, Z_k, lie near the span of U_k; U_k^T U_k = I.

namespace crate {

/// SNR_k = ||U_k U_k^T Z_k||_F / ||(I - U_k U_k^T) Z_k||_F of every cluster; infinite without noise, 0 for a cluster
/// without tokens or with only zeros. `clusters` holds the cluster of each token. Throws ShapeError on a wrong size,
/// OptionError on a cluster that has no subspace, PrecisionError if tokens are not finite.
template <class ZDerived, class Bases>
[[nodiscard]] std::vector<double> signal_to_noise(const Eigen::MatrixBase<ZDerived>& tokens,
                                                  const Subspaces<Bases>& subspaces,
                                                  const std::vector<Index>& clusters) {
  check_size("signal to noise: rows of the tokens", tokens.rows(), subspaces.dim());
  check_size("signal to noise: clusters of tokens", static_cast<Index>(clusters.size()), tokens.cols());
  check_finite("signal to noise: tokens", tokens);
  std::vector<double> signal(static_cast<std::size_t>(subspaces.heads())), noise(signal.size());
  const Subspaces<Matrix<double>> u(subspaces.bases().template cast<double>(), subspaces.heads());
  for (Index j = 0; j < tokens.cols(); ++j) {
    const Index k = clusters[static_cast<std::size_t>(j)];
    check_option(k >= 0 && k < subspaces.heads(), concatenate("clusters from 0 to ", subspaces.heads() - 1), k);
    const Vector<double> z = tokens.col(j).template cast<double>();
    const Vector<double> coordinates = u.basis(k).transpose() * z, inside = u.basis(k) * coordinates;
    signal[static_cast<std::size_t>(k)] += inside.squaredNorm();
    noise[static_cast<std::size_t>(k)] += (z - inside).squaredNorm();
  }
  std::vector<double> ratios;
  for (std::size_t k = 0; k < signal.size(); ++k)
    ratios.push_back(noise[k] > 0    ? std::sqrt(signal[k] / noise[k])
                     : signal[k] > 0 ? std::numeric_limits<double>::infinity()
                                     : 0);
  return ratios;
}

struct ThresholdedAttentionOptions {
  double step = 0.5;        ///< eta > 0
  double threshold = 0.75;  ///< tau in (1/2, 1)

  void check() const {
    check_option(std::isfinite(step) && step > 0, "thresholded attention: step > 0", step);
    check_option(threshold > 0.5 && threshold < 1, "thresholded attention: threshold in (1/2, 1)", threshold);
  }
};

/// Z + eta sum_k U_k U_k^T Z h(softmax(Z^T U_k U_k^T Z)), h(x) = tau where x > tau and 0 elsewhere.
/// Theorem: for tokens z_i = U_k a_i + sum_{j != k} U_j e_ij of cluster k, a ~ N(0, I_p), e ~ N(0, delta^2 I_p),
/// orthogonal subspaces and tau <= 1 / (1 + N exp(-9 p / 32)), it multiplies every SNR_k by 1 + eta tau, with high
/// probability, for delta up to about (log N / p)^{1/2}. This holds for the first steps; once the signals have grown,
/// the attention of noise exceeds tau, too. Throws ShapeError on a wrong size, OptionError if an option is out of
/// range.
template <class ZDerived, class Bases>
[[nodiscard]] Matrix<typename ZDerived::Scalar> thresholded_attention_step(
    const Eigen::MatrixBase<ZDerived>& tokens, const Subspaces<Bases>& subspaces,
    const ThresholdedAttentionOptions& options = {}) {
  using S = typename ZDerived::Scalar;
  options.check();
  check_size("thresholded attention: rows of the tokens", tokens.rows(), subspaces.dim());
  const auto tau = static_cast<S>(options.threshold);
  Matrix<S> result = tokens;
  for (Index k = 0; k < subspaces.heads(); ++k) {
    const Matrix<S> projected = subspaces.basis(k).transpose() * tokens;
    const Matrix<S> scores = softmax_columns((projected.transpose() * projected).eval());
    const Matrix<S> kept = scores.unaryExpr([tau](S x) { return x > tau ? tau : S(0); });
    result += static_cast<S>(options.step) * (subspaces.basis(k) * (projected * kept));
  }
  return result;
}

/// Tokens near known subspaces, and the cluster of each.
template <Scalar S>
struct ClusteredTokens {
  Matrix<S> tokens;             ///< d x (K n)
  std::vector<Index> clusters;  ///< K n
};

/// n tokens of every cluster as the theorem assumes: z = U_k a + sum_{j != k} U_j e_j, a ~ N(0, I_p),
/// e ~ N(0, delta^2 I_p).
template <class Bases>
[[nodiscard]] auto draw_clustered_tokens(const Subspaces<Bases>& subspaces, Index tokens_per_cluster, double delta,
                                         Random& random) {
  using S = typename Subspaces<Bases>::Scalar;
  const Index p = subspaces.head_dim(), n = tokens_per_cluster;
  Matrix<S> coordinates(p * subspaces.heads(), n * subspaces.heads());
  random.fill_normal(coordinates);
  ClusteredTokens<S> drawn;
  for (Index k = 0; k < subspaces.heads(); ++k) {
    drawn.clusters.insert(drawn.clusters.end(), static_cast<std::size_t>(n), k);
    for (Index j = 0; j < subspaces.heads(); ++j)
      if (j != k) coordinates.block(j * p, k * n, p, n) *= static_cast<S>(delta);
  }
  drawn.tokens = subspaces.bases() * coordinates;
  return drawn;
}

}  // namespace crate
