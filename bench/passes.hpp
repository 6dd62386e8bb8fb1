// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <cmath>
#include <limits>
#include <string_view>

#include "crate/crate.hpp"
#include "measurement.hpp"
#include "plain_layers.hpp"

// Passes of layers and blocks, forward and back, on a batch of token sets. Arguments of the benchmark: width, tokens in
// a set, sets, threads.

namespace crate::bench {

enum class Passes {
  forward,          ///< as inference goes
  forward_backward  ///< forward, recorded, and back to dL/dZ and dL/dW, as training goes
};

/// What a pass is given.
template <Scalar S>
struct Batch {
  TokenSets<S> z;
  Threads threads;
  Workspace workspace;

  Batch(const benchmark::State& state, Index dim)
      : z(random_tokens<S>(dim, state.range(1) * state.range(2)), TokenLayout::equal(state.range(2), state.range(1))),
        threads(static_cast<int>(state.range(3))) {}

  [[nodiscard]] Run<S> run() { return {.threads = &threads, .workspace = &workspace}; }
  [[nodiscard]] Work work(double multiply_adds) const {
    return {.tokens = z.tokens.cols(), .multiply_adds = multiply_adds, .threads = threads.count()};
  }
};

/// Adds `change` times a random direction to every trainable parameter, the same direction at every call.
template <Layer L>
void move_parameters(L& layer, double change) {
  using S = typename L::Scalar;
  Random random(2);
  for_each_parameter(
      [&](std::string_view, ParameterKind kind, auto& parameter) {
        if (kind != ParameterKind::trainable) return;
        Matrix<S> direction(parameter.rows(), parameter.cols());
        random.fill_normal(direction);
        parameter += static_cast<S>(change) * direction;
      },
      layer);
}

/// <dL/dW, V>, where V leads from the parameters of `from` to those of `to`.
template <Layer L>
[[nodiscard]] double change_along(const L& gradient, const L& from, const L& to) {
  double sum = 0;
  for_each_parameter(
      [&](std::string_view, ParameterKind kind, const auto& g, const auto& start, const auto& end) {
        if (kind == ParameterKind::trainable) sum += wide(g).cwiseProduct(wide(end) - wide(start)).sum();
      },
      gradient, from, to);
  return sum;
}

/// Whether the backward pass gives the adjoint of the derivative: with a step V of tokens and parameters, and
/// D = f(. + V / 2) - f(. - V / 2) of the plain formulas in double, <D, D> = <dL/dZ, V> + <dL/dW, V> where dL/df = D.
template <TrainableLayer L>
[[nodiscard]] bool backward_agrees(benchmark::State& state, const L& layer, Batch<typename L::Scalar>& batch) {
  using S = typename L::Scalar;
  constexpr double step = 1e-3;
  constexpr double explained = 2e-2;  // by entries that the step takes across the kink of a ReLU, and by rounding
  L ahead = layer, behind = layer;
  move_parameters(ahead, step / std::sqrt(static_cast<double>(layer.input_dim())));
  move_parameters(behind, -step / std::sqrt(static_cast<double>(layer.input_dim())));
  TokenSets<S> z_ahead = batch.z, z_behind = batch.z;
  const Matrix<S> direction = static_cast<S>(step) * batch.z.tokens.colwise().reverse();
  z_ahead.tokens += direction;
  z_behind.tokens -= direction;
  const Wide difference = plain_sets(ahead, z_ahead) - plain_sets(behind, z_behind);

  Recording<L> recording;
  L gradient = zeros_like(layer);
  benchmark::DoNotOptimize(forward(layer, batch.z, recording, batch.run()));
  const Matrix<S> by_tokens = backward(layer, Matrix<S>(difference.cast<S>()), recording, gradient, batch.run());
  const double found = wide(by_tokens).cwiseProduct(wide(z_ahead.tokens) - wide(z_behind.tokens)).sum() +
                       change_along(gradient, behind, ahead);
  return agrees<S>(state, found, difference.squaredNorm(), explained / std::numeric_limits<S>::epsilon());
}

template <Layer L>
void time_forward(benchmark::State& state, const L& layer, Batch<typename L::Scalar>& batch) {
  using S = typename L::Scalar;
  const auto run = [&] { return forward(layer, batch.z, batch.run()); };
  if (agrees<S>(state, run().tokens, plain_sets(layer, batch.z)))
    time_work<S>(state, batch.work(layer.multiply_adds(batch.z.layout)), run);
}

/// By the published arithmetic, in which the way back takes two products for each one of the way there.
template <TrainableLayer L>
void time_recorded(benchmark::State& state, const L& layer, Batch<typename L::Scalar>& batch) {
  using S = typename L::Scalar;
  Recording<L> recording;
  L gradient = zeros_like(layer);
  const Matrix<S> cotangent = random_tokens<S>(layer.output_dim(), batch.z.tokens.cols());
  time_work<S>(state, batch.work(3 * layer.multiply_adds(batch.z.layout)), [&] {
    benchmark::DoNotOptimize(forward(layer, batch.z, recording, batch.run()));
    return backward(layer, cotangent, recording, gradient, batch.run());
  });
}

template <TrainableLayer L>
void time_forward_backward(benchmark::State& state, const L& layer, Batch<typename L::Scalar>& batch) {
  if (backward_agrees(state, layer, batch)) time_recorded(state, layer, batch);
}

/// Checks and times passes of a layer of random parameters.
template <Passes passes, Layer L>
void time_passes(benchmark::State& state, L layer) {
  initialise(layer, 1);
  Batch<typename L::Scalar> batch(state, layer.input_dim());
  if constexpr (passes == Passes::forward)
    time_forward(state, layer, batch);
  else
    time_forward_backward(state, layer, batch);
}

/// The width of a block or layer, and its heads, p = 64.
[[nodiscard]] inline Index dim(const benchmark::State& state) { return state.range(0); }
[[nodiscard]] inline Index heads(const benchmark::State& state) { return dim(state) / 64; }

/// As for attention with p = 64; of the soft partition, whose logits are energies of tokens of length sqrt(d), less.
[[nodiscard]] constexpr double logit_scale_of(CompressionStep step) {
  return step == CompressionStep::soft_partition ? 0.02 : 0.125;
}

// --- sizes -----------------------------------------------------------------------------------------------------------

inline auto* sizes(benchmark::internal::Benchmark* benchmark) {
  return benchmark->ArgNames({"dim", "tokens", "batch", "threads"})
      ->MinTime(0.1)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

/// An image in patches of 16 x 16 and a class token; one and eight.
inline void images(benchmark::internal::Benchmark* benchmark) {
  sizes(benchmark)->ArgsProduct({{384, 768}, {197}, {1, 8}, {1, 2}});
}

/// What costs what with more and more tokens.
template <Index longest>
void growth(benchmark::internal::Benchmark* benchmark) {
  sizes(benchmark);
  for (const Index dim : {384, 768})
    for (const Index threads : {1, 2})
      for (Index tokens = 256; tokens <= longest; tokens *= 2) benchmark->Args({dim, tokens, 1, threads});
}

}  // namespace crate::bench
