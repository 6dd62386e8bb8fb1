// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <algorithm>

#include "crate/crate.hpp"
#include "measurement.hpp"
#include "operator_arguments.hpp"
#include "plain_operators.hpp"

// Coding rates and their gradients, each on one thread, and compared with its plain formula before it is timed.

namespace crate::bench {
namespace {

/// A symmetric Gram matrix of n x n over m entries, and its Cholesky factor.
double rate_multiply_adds(Index n, Index m) {
  const auto rows = static_cast<double>(n), cols = static_cast<double>(m);
  return rows * rows * cols / 2 + rows * rows * rows / 6;
}

/// The same, the inverse and its product with what the Gram matrix was made from.
double rate_gradient_multiply_adds(Index n, Index m) {
  const auto rows = static_cast<double>(n), cols = static_cast<double>(m);
  return rate_multiply_adds(n, m) + rows * rows * rows + rows * rows * cols;
}

template <Scalar S>
double all_multiply_adds(const Arguments<S>& x) {
  return rate_multiply_adds(std::min(x.dim, x.count), std::max(x.dim, x.count));
}

template <Scalar S>
double all_gradient_multiply_adds(const Arguments<S>& x) {
  return rate_gradient_multiply_adds(std::min(x.dim, x.count), std::max(x.dim, x.count));
}

template <Scalar S>
double subspace_multiply_adds(const Arguments<S>& x) {
  return x.dense(x.dim) + static_cast<double>(x.subspaces.heads()) * rate_multiply_adds(head_dim, x.count);
}

/// The gradient by the tokens and that by the bases take a dense product each.
template <Scalar S>
double subspace_gradient_multiply_adds(const Arguments<S>& x) {
  return 3 * x.dense(x.dim) + static_cast<double>(x.subspaces.heads()) * rate_gradient_multiply_adds(head_dim, x.count);
}

template <Scalar S>
void coding_rate(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::coding_rate(x.tokens, {.epsilon = epsilon}); };
  if (agrees<S>(state, run(), plain_rate(x.z()))) time_work<double>(state, x.work(all_multiply_adds(x)), run);
}

template <Scalar S>
void coding_rate_gradient(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::coding_rate_gradient(x.tokens, {.epsilon = epsilon}); };
  if (agrees<S>(state, run(), plain_rate_gradient(x.z()), gradient_conditioning))
    time_work<double>(state, x.work(all_gradient_multiply_adds(x)), run);
}

template <Scalar S>
void subspace_coding_rate(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::subspace_coding_rate(x.tokens, x.subspaces, {.epsilon = epsilon}); };
  if (agrees<S>(state, run(), plain_subspace_rate(x))) time_work<S>(state, x.work(subspace_multiply_adds(x)), run);
}

template <Scalar S>
void subspace_coding_rate_gradient(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::subspace_coding_rate_gradient(x.tokens, x.subspaces, {.epsilon = epsilon}); };
  if (agrees<S>(state, run().tokens, plain_subspace_rate_gradient(x), gradient_conditioning))
    time_work<S>(state, x.work(subspace_gradient_multiply_adds(x)), run);
}

template <Scalar S>
void rate_reduction(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::rate_reduction(x.tokens, x.subspaces, {.epsilon = epsilon}); };
  if (agrees<S>(state, run(), plain_rate(x.z()) - plain_subspace_rate(x), gradient_conditioning))
    time_work<S>(state, x.work(all_multiply_adds(x) + subspace_multiply_adds(x)), run);
}

template <Scalar S>
void rate_reduction_gradient(benchmark::State& state) {
  const Arguments<S> x(state);
  const auto run = [&] { return crate::rate_reduction_gradient(x.tokens, x.subspaces, {.epsilon = epsilon}); };
  if (agrees<S>(state, run().tokens, plain_rate_gradient(x.z()) - plain_subspace_rate_gradient(x),
                gradient_conditioning))
    time_work<S>(state, x.work(all_gradient_multiply_adds(x) + subspace_gradient_multiply_adds(x)), run);
}

template <Scalar S>
void sparse_rate_reduction(benchmark::State& state) {
  const Arguments<S> x(state);
  constexpr SparseRateReductionOptions options{.epsilon = epsilon, .lambda = 0.1, .norm = SparsityNorm::l1};
  const auto run = [&] { return crate::sparse_rate_reduction(x.tokens, x.subspaces, options); };
  const double plain = plain_rate(x.z()) - plain_subspace_rate(x) - 0.1 * x.z().cwiseAbs().sum();
  if (agrees<S>(state, run(), plain))
    time_work<S>(state, x.work(all_multiply_adds(x) + subspace_multiply_adds(x)), run);
}

BENCHMARK(coding_rate<float>)->Apply(grid);
BENCHMARK(coding_rate<double>)->Apply(grid);
BENCHMARK(coding_rate_gradient<float>)->Apply(grid);
BENCHMARK(coding_rate_gradient<double>)->Apply(grid);
BENCHMARK(subspace_coding_rate<float>)->Apply(grid);
BENCHMARK(subspace_coding_rate<double>)->Apply(grid);
BENCHMARK(subspace_coding_rate_gradient<float>)->Apply(grid);
BENCHMARK(subspace_coding_rate_gradient<double>)->Apply(grid);
BENCHMARK(rate_reduction<float>)->Apply(grid);
BENCHMARK(rate_reduction<double>)->Apply(grid);
BENCHMARK(rate_reduction_gradient<float>)->Apply(grid);
BENCHMARK(rate_reduction_gradient<double>)->Apply(grid);
BENCHMARK(sparse_rate_reduction<double>)->Apply(grid);

}  // namespace
}  // namespace crate::bench
