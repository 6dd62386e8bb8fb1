// SPDX-License-Identifier: MIT

// The door for products at the shapes of training: maps of width d on N tokens, there, back, and their gradients. Every
// result is first compared with Eigen's in double.

#include <benchmark/benchmark.h>

#include "crate/kernels/product.hpp"
#include "measurement.hpp"

namespace crate::bench {
namespace {

/// A map of width d and its tokens as layers have them.
struct Operands {
  RowMajorMatrix<float> weight;  ///< W, d x d
  Matrix<float> tokens, cotangent;
  Threads threads;

  /// Arguments: d, N, threads.
  explicit Operands(const benchmark::State& state)
      : weight(random_tokens<float>(state.range(0), state.range(0))),
        tokens(random_tokens<float>(state.range(0), state.range(1))),
        cotangent(random_tokens<float>(state.range(0), state.range(1))),
        threads(static_cast<int>(state.range(2))) {}

  [[nodiscard]] Work work(double products = 1) const {
    return {.tokens = tokens.cols(),
            .multiply_adds = products * static_cast<double>(weight.size() * tokens.cols()),
            .threads = threads.count()};
  }
};

/// Compares out with the expected product, then times compute(), which makes it.
template <class Out, class Expected, class Compute>
void time_product(benchmark::State& state, const Work& work, Out& out, const Expected& expected,
                  const Compute& compute) {
  compute();
  if (!agrees<float>(state, out, expected)) return;
  time_work<float>(state, work, [&] {
    compute();
    return out(0, 0);
  });
}

/// W Z.
void product_forward(benchmark::State& state) {
  Operands o(state);
  Matrix<float> out(o.tokens.rows(), o.tokens.cols());
  time_product(state, o.work(), out, o.weight.cast<double>() * o.tokens.cast<double>(),
               [&] { multiply(o.weight, o.tokens, out, o.threads); });
}

/// W^T G.
void product_backward(benchmark::State& state) {
  Operands o(state);
  Matrix<float> out(o.tokens.rows(), o.tokens.cols());
  time_product(state, o.work(), out, o.weight.transpose().cast<double>() * o.cotangent.cast<double>(),
               [&] { multiply(o.weight.transpose(), o.cotangent, out, o.threads); });
}

/// G Z^T.
void product_gradient(benchmark::State& state) {
  Operands o(state);
  RowMajorMatrix<float> out(o.weight.rows(), o.weight.cols());
  time_product(state, o.work(), out, o.cotangent.cast<double>() * o.tokens.transpose().cast<double>(),
               [&] { multiply(o.cotangent, o.tokens.transpose(), out, o.threads); });
}

/// Z Z^T, by half of the multiply-adds.
void product_gram(benchmark::State& state) {
  Operands o(state);
  Matrix<float> out(o.weight.rows(), o.weight.cols());
  time_product(state, o.work(0.5), out, o.tokens.cast<double>() * o.tokens.transpose().cast<double>(),
               [&] { gram_into(o.tokens.transpose(), out, o.threads); });
}

void shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"dim", "tokens", "threads"})->MinTime(0.1)->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const int threads : {1, 2}) {
    benchmark->Args({768, 8 * 197, threads});  // CRATE-Base, 8 images of 197 tokens
    benchmark->Args({768, 768, threads});      // a step's matrix
    benchmark->Args({384, 8 * 197, threads});  // CRATE-Tiny
    benchmark->Args({96, 16 * 50, threads});   // the classifier of 28 x 28 images, 16 of 50 tokens
  }
}

BENCHMARK(product_forward)->Apply(shapes);
BENCHMARK(product_backward)->Apply(shapes);
BENCHMARK(product_gradient)->Apply(shapes);
BENCHMARK(product_gram)->Apply(shapes);

}  // namespace
}  // namespace crate::bench
