// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/QR>
#include <cstdint>
#include <utility>

#include "catch.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"

// Random shapes and matrices, for laws that hold for all of them.

namespace crate::test {

/// Calls law(random) with `trials` different seeds; a failure prints the seed.
template <class Law>
void for_random_draws(std::uint64_t trials, const Law& law) {
  for (std::uint64_t seed = 1; seed <= trials; ++seed) {
    INFO("seed " << seed);
    Random random(seed);
    law(random);
  }
}

/// An index from low to high, both included.
[[nodiscard]] inline Index draw_index(Random& random, Index low, Index high) {
  return low + random.below(high - low + 1);
}

[[nodiscard]] inline Matrix<double> draw_normal(Random& random, Index rows, Index cols) {
  Matrix<double> matrix(rows, cols);
  random.fill_normal(matrix);
  return matrix;
}

/// rows x cols with orthonormal columns, cols <= rows.
[[nodiscard]] inline Matrix<double> draw_orthonormal(Random& random, Index rows, Index cols) {
  const Eigen::HouseholderQR<Matrix<double>> qr(draw_normal(random, rows, cols));
  return qr.householderQ() * Matrix<double>::Identity(rows, cols);
}

[[nodiscard]] inline Eigen::PermutationMatrix<Eigen::Dynamic> draw_permutation(Random& random, Index size) {
  Eigen::PermutationMatrix<Eigen::Dynamic> permutation(size);
  permutation.setIdentity();
  for (Index i = size - 1; i > 0; --i) std::swap(permutation.indices()[i], permutation.indices()[random.below(i + 1)]);
  return permutation;
}

/// Sizes of a set of tokens and its subspaces: tokens d x N, U d x (K p).
struct DrawnSizes {
  Index dim, tokens, heads, head_dim;
};

/// Fewer and more tokens than dimensions, fewer and more dimensions in all subspaces together than there are; N = 1 and
/// p = 1 among them.
[[nodiscard]] inline DrawnSizes draw_sizes(Random& random) {
  return {draw_index(random, 1, 13), draw_index(random, 1, 19), draw_index(random, 1, 5), draw_index(random, 1, 7)};
}

}  // namespace crate::test
