// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "crate/analysis/estimate_subspaces.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/operators/subspaces.hpp"

namespace compress_tokens {

using crate::Index;
using Matrix = crate::Matrix<double>;
using Subspaces = crate::Subspaces<Matrix>;

struct ToyOptions {
  Index width = 128;    ///< d
  Index tokens = 2048;  ///< N
  Index subspaces = 8;  ///< K
  Index dim = 4;        ///< p
  double noise =
      0.1;  ///< standard deviation in each of the d coordinates; that of the signal in its p coordinates is 1
  std::uint64_t seed = 0;

  void check() const {
    crate::check_option(subspaces >= 1, "subspaces >= 1", subspaces);
    crate::check_option(dim >= 1 && dim <= width, "1 <= dim <= width", dim);
    crate::check_option(subspaces <= tokens / dim,
                        crate::concatenate("tokens >= subspaces * dim = ", subspaces, " * ", dim), tokens);
    constexpr Index most = Index{1} << 28;  // coordinates: 2 GB
    crate::check_option(tokens <= most / width, crate::concatenate("at most ", most, " coordinates, width * tokens"),
                        crate::concatenate(width, " * ", tokens));
    crate::check_option(noise >= 0 && noise < 1e6, "noise in [0, 1e6)", noise);
  }
};

/// Tokens from a mixture of low-dimensional Gaussians: token i is U_k a + noise, with k = i mod K and a ~ N(0, I_p).
struct Toy {
  Subspaces subspaces;  ///< uniformly random, hence incoherent in high dimension, but not orthogonal
  Matrix clean;         ///< without the noise, d x N
  Matrix tokens;        ///< d x N
  std::vector<Index> membership;
};

[[nodiscard]] inline Matrix draw_normal(Index rows, Index cols, crate::Random& random) {
  Matrix matrix(rows, cols);
  random.fill_normal(matrix);
  return matrix;
}

/// A d x p basis of a uniformly random subspace.
[[nodiscard]] inline Matrix draw_basis(Index dim, Index subspace_dim, crate::Random& random) {
  return crate::detail::orthonormal_columns<double>(draw_normal(dim, subspace_dim, random));
}

/// Throws OptionError on an option out of range.
[[nodiscard]] inline Toy draw_toy(const ToyOptions& options) {
  options.check();
  crate::Random random(options.seed);
  Subspaces subspaces(Matrix::Zero(options.width, options.subspaces * options.dim), options.subspaces);
  for (Index k = 0; k < options.subspaces; ++k) subspaces.basis(k) = draw_basis(options.width, options.dim, random);

  Matrix clean(options.width, options.tokens);
  std::vector<Index> membership;
  for (Index i = 0; i < options.tokens; ++i) {
    membership.push_back(i % options.subspaces);
    clean.col(i) = subspaces.basis(membership.back()) * draw_normal(options.dim, 1, random);
  }
  Matrix tokens = clean + options.noise * draw_normal(options.width, options.tokens, random);
  return {std::move(subspaces), std::move(clean), std::move(tokens), std::move(membership)};
}

/// The largest principal angle, in degrees, of each true subspace to the estimated one nearest to it; the largest of
/// all.
[[nodiscard]] inline double worst_angle(const Subspaces& truth, const Subspaces& estimate) {
  double worst = 0;
  for (Index k = 0; k < truth.heads(); ++k) {
    double nearest = 90;
    for (Index j = 0; j < estimate.heads(); ++j)
      nearest = std::min(nearest, crate::largest_principal_angle(truth.basis(k), estimate.basis(j)));
    worst = std::max(worst, nearest);
  }
  return worst;
}

}  // namespace compress_tokens
