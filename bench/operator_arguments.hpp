// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <cmath>

#include "crate/crate.hpp"
#include "measurement.hpp"

// What the operators are timed on: tokens d x N and K = d / 64 subspaces of dimension p = 64.

namespace crate::bench {

inline constexpr Index head_dim = 64;
inline constexpr double epsilon = 0.5;

inline Matrix<double> wide(const auto& matrix) { return matrix.template cast<double>(); }

template <Scalar S>
struct Arguments {
  Index dim, count;
  Matrix<S> tokens;
  Subspaces<Matrix<S>> subspaces;

  explicit Arguments(const benchmark::State& state)
      : dim(state.range(0)),
        count(state.range(1)),
        tokens(random_tokens<S>(dim, count)),
        subspaces(random_tokens<S>(dim, dim) / std::sqrt(static_cast<S>(dim)), dim / head_dim) {}

  /// dL/df of the adjoints.
  [[nodiscard]] Matrix<S> cotangent() const { return tokens.rowwise().reverse(); }

  [[nodiscard]] Matrix<double> z() const { return tokens.template cast<double>(); }
  [[nodiscard]] Matrix<double> u() const { return subspaces.bases().template cast<double>(); }
  [[nodiscard]] Matrix<double> u(Index k) const { return subspaces.basis(k).template cast<double>(); }

  /// Multiplications of a product with a matrix of `rows` rows and as many columns as a token has rows.
  [[nodiscard]] double dense(Index rows) const { return static_cast<double>(rows * dim) * static_cast<double>(count); }
  /// Those of all heads comparing and averaging all tokens.
  [[nodiscard]] double pairs() const { return 2.0 * static_cast<double>(dim) * static_cast<double>(count * count); }
  [[nodiscard]] Work work(double multiply_adds) const { return {.tokens = count, .multiply_adds = multiply_adds}; }
};

// The condition number of I + a Z Z^T, which is solved with in the gradients, at the sizes below.
inline constexpr double gradient_conditioning = 1e4;

inline void grid(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"dim", "tokens"})
      ->ArgsProduct({{384, 768}, {197, 1024}})
      ->MinTime(0.1)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

/// The width of CRATE-Base; what costs what with more and more tokens.
template <Index longest>
void growth(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"dim", "tokens"})->MinTime(0.2)->UseRealTime()->Unit(benchmark::kMicrosecond);
  benchmark->Args({768, 197});
  for (Index tokens = 256; tokens <= longest; tokens *= 2) benchmark->Args({768, tokens});
}

}  // namespace crate::bench
