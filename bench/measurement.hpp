// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/instruction_set.hpp"

// What a benchmark measures itself by: first whether its result is right, then the work it does in a second, beside the most
// that a matrix product does in the same run.

namespace crate::bench {

/// Flops in a second, two a multiplication, of large square products, one a thread, all at once; best of many that are short
/// enough to run undisturbed now and then on a busy machine.
template <Scalar S>
[[nodiscard]] double matrix_product_peak(int threads) {
  static std::map<int, double> measured;
  if (const auto known = measured.find(threads); known != measured.end()) return known->second;
  constexpr Index size = 768;
  constexpr int repetitions = 50;
  const Matrix<S> factor = Matrix<S>::Constant(size, size, S(0.5));
  std::vector<Matrix<S>> products(static_cast<std::size_t>(threads), Matrix<S>::Zero(size, size));
  Threads team(threads);
  double best = std::numeric_limits<double>::infinity();
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    team.for_each(threads,
                  [&](Index piece, int) { products[static_cast<std::size_t>(piece)].noalias() = factor * factor; });
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return measured[threads] = 2.0 * size * size * size * threads / best;
}

/// What one iteration of a benchmark does.
struct Work {
  Index tokens = 0;
  double multiply_adds = 0;
  int threads = 1;
};

/// Calls `run` until its time is known. Adds the counters tokens/s, GFLOP/s and the percentage of the matrix product's peak,
/// all by wall clock.
template <Scalar S, class Run>
void time_work(benchmark::State& state, const Work& work, const Run& run) {
  const double peak = matrix_product_peak<S>(work.threads);
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) {
    benchmark::DoNotOptimize(run());
    benchmark::ClobberMemory();
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double each = seconds / static_cast<double>(state.iterations());
  state.counters["tokens/s"] = static_cast<double>(work.tokens) / each;
  if (work.multiply_adds == 0) return;
  state.counters["GFLOP/s"] = 2e-9 * work.multiply_adds / each;
  state.counters["%peak"] = 200 * work.multiply_adds / each / peak;
}

[[nodiscard]] inline double relative_difference(double found, double expected) {
  return std::abs(found - expected) / std::abs(expected);
}

template <class Found, class Expected>
[[nodiscard]] double relative_difference(const Eigen::MatrixBase<Found>& found,
                                         const Eigen::MatrixBase<Expected>& expected) {
  if (found.rows() != expected.rows() || found.cols() != expected.cols())
    return std::numeric_limits<double>::infinity();
  return (found.template cast<double>() - expected.template cast<double>()).norm() /
         expected.template cast<double>().norm();
}

/// Compares a result with what a plain formula in double gives. If they differ by more than the rounding of S explains, the
/// benchmark fails and is not timed. `conditioning` is how much the formula magnifies a relative change of its arguments.
template <Scalar S, class Found, class Expected>
[[nodiscard]] bool agrees(benchmark::State& state, const Found& found, const Expected& expected,
                          double conditioning = 100) {
  const double difference = relative_difference(found, expected);
  if (difference <= conditioning * std::numeric_limits<S>::epsilon()) return true;  // false for NaN
  state.SkipWithError(concatenate("differs from the plain formula by a relative ", difference).c_str());
  return false;
}

template <Scalar S>
[[nodiscard]] Matrix<S> random_tokens(Index dim, Index tokens) {
  Random random(1);
  Matrix<S> z(dim, tokens);
  random.fill_normal(z);
  return z;
}

/// Adds to the output what figures depend on: compiler, flags, instruction set, versions, threads and peaks.
inline void add_machine_context() {
  const auto gigaflops = [](double flops) { return concatenate(std::lround(flops * 1e-9), " GFLOP/s"); };
  benchmark::AddCustomContext("compiler", CRATE_BENCH_COMPILER);
  benchmark::AddCustomContext("flags", CRATE_BENCH_FLAGS);
  benchmark::AddCustomContext("instruction set",
                              concatenate(instruction_set(), "; of Eigen ", Eigen::SimdInstructionSetsInUse()));
  benchmark::AddCustomContext("Eigen",
                              concatenate(EIGEN_WORLD_VERSION, ".", EIGEN_MAJOR_VERSION, ".", EIGEN_MINOR_VERSION));
  benchmark::AddCustomContext("hardware threads", concatenate(std::thread::hardware_concurrency()));
  benchmark::AddCustomContext("threads of a benchmark", "1, or as its argument threads says");
  benchmark::AddCustomContext("product peak, float, 1 thread", gigaflops(matrix_product_peak<float>(1)));
  benchmark::AddCustomContext("product peak, float, 2 threads", gigaflops(matrix_product_peak<float>(2)));
  benchmark::AddCustomContext("product peak, double, 1 thread", gigaflops(matrix_product_peak<double>(1)));
}

}  // namespace crate::bench
