// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/SVD>
#include <cmath>

#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/operators/subspaces.hpp"
#include "draw.hpp"

// Random tokens, and what operators take beside them.

namespace crate::test {

struct TokensAndSubspaces {
  Matrix<double> z;
  Subspaces<Matrix<double>> u;
};

[[nodiscard]] inline TokensAndSubspaces draw_tokens_and_subspaces(Random& random) {
  const auto [d, n, heads, p] = draw_sizes(random);
  return {draw_normal(random, d, n), {draw_normal(random, d, heads * p) / std::sqrt(static_cast<double>(d)), heads}};
}

struct TokensAndDictionary {
  Matrix<double> z, dictionary;
};

/// 1 / ||D||^2.
[[nodiscard]] inline double largest_safe_step(const Matrix<double>& dictionary) {
  const double norm = Eigen::JacobiSVD<Matrix<double>>(dictionary).singularValues()[0];
  return 1 / (norm * norm);
}

}  // namespace crate::test
