// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/instruction_set.hpp"
#include "multiply_add_peak.hpp"

// What a benchmark measures itself by: first whether its result is right, then the work it does in a second, beside the
// most multiply-adds that the processor does in the same run.

namespace crate::bench {

/// What one iteration of a benchmark does.
struct Work {
  Index tokens = 0;
  double multiply_adds = 0;
  int threads = 1;
};

/// Calls `run` until its time is known. Adds the counters tokens/s, GFLOP/s and the percentage of the multiply-adds'
/// peak, all by wall clock.
template <Scalar S, class Run>
void time_work(benchmark::State& state, const Work& work, const Run& run) {
  const double peak = multiply_add_peak<S>(work.threads);
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

/// Compares a result with what a plain formula in double gives. If they differ by more than the rounding of S explains,
/// the benchmark fails and is not timed. `conditioning` is how much the formula magnifies a relative change of its
/// arguments.
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
  benchmark::AddCustomContext(
      "instruction set", concatenate(name_of(instruction_set()), "; of Eigen ", Eigen::SimdInstructionSetsInUse()));
  benchmark::AddCustomContext("Eigen",
                              concatenate(EIGEN_WORLD_VERSION, ".", EIGEN_MAJOR_VERSION, ".", EIGEN_MINOR_VERSION));
  benchmark::AddCustomContext("hardware threads", concatenate(std::thread::hardware_concurrency()));
  benchmark::AddCustomContext("threads of a benchmark", "1, or as its argument threads says");
  benchmark::AddCustomContext("multiply-add peak, float, 1 thread", gigaflops(multiply_add_peak<float>(1)));
  benchmark::AddCustomContext("multiply-add peak, float, 2 threads", gigaflops(multiply_add_peak<float>(2)));
  benchmark::AddCustomContext("multiply-add peak, double, 1 thread", gigaflops(multiply_add_peak<double>(1)));
}

}  // namespace crate::bench
