// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "passes.hpp"

// Layers on batches of token sets, forward and back: the operators, on several threads and with their parameters'
// gradients. Each is compared with the pure operators in double before it is timed.

namespace crate::bench {
namespace {

template <Passes passes>
void layer_norm(benchmark::State& state) {
  time_passes<passes>(state, LayerNorm<float>(dim(state)));
}

template <Passes passes>
void linear(benchmark::State& state) {
  time_passes<passes>(state, Linear<float>(dim(state), dim(state)));
}

template <Passes passes>
void dictionary(benchmark::State& state) {
  time_passes<passes>(state, Dictionary<float>(dim(state)));
}

template <MssaOutput output, Passes passes>
void mssa(benchmark::State& state) {
  time_passes<passes>(state, Mssa<float>({.dim = dim(state), .heads = heads(state), .output = output}));
}

template <Passes passes>
void self_attention(benchmark::State& state) {
  time_passes<passes>(state, SelfAttention<float>({.dim = dim(state), .heads = heads(state)}));
}

template <Passes passes>
void gelu(benchmark::State& state) {
  time_passes<passes>(state, Gelu<float>{4 * dim(state)});
}

/// Forward and back, each of which draws all numbers.
void dropout(benchmark::State& state) {
  const Dropout<float> layer(dim(state), 0.3);
  Batch<float> batch(state, dim(state));
  Recording<Dropout<float>> recording;
  if (agrees<float>(state, forward(layer, batch.z, recording, batch.run()).tokens, plain_dropout(layer, batch.z)))
    time_recorded(state, layer, batch);
}

template <Passes passes>
void mlp(benchmark::State& state) {
  time_passes<passes>(state, Mlp<float>(dim(state), 4 * dim(state)));
}

template <CompressionStep step, Passes passes>
void compression(benchmark::State& state) {
  const Matrix<float> zero = Matrix<float>::Zero(dim(state), dim(state));
  time_passes<passes>(state,
                      Compression<float>({zero, heads(state)}, {.step = step, .logit_scale = logit_scale_of(step)}));
}

template <Passes passes>
void ista(benchmark::State& state) {
  time_passes<passes>(state, Ista<float>(dim(state)));
}

template <Passes passes>
void overcomplete_ista(benchmark::State& state) {
  time_passes<passes>(state, OvercompleteIsta<float>(dim(state), 4 * dim(state), Decoding::tied));
}

constexpr auto forward = Passes::forward, forward_backward = Passes::forward_backward;
constexpr auto exact = CompressionStep::exact, first_order = CompressionStep::first_order,
               softmax = CompressionStep::softmax, rate_reduction = CompressionStep::rate_reduction,
               soft_partition = CompressionStep::soft_partition;
constexpr auto tied = MssaOutput::tied, free_output = MssaOutput::free;

BENCHMARK(mssa<tied, forward>)->Name("Mssa<tied>/forward")->Apply(images);
BENCHMARK(mssa<tied, forward_backward>)->Name("Mssa<tied>/forward_backward")->Apply(images);
BENCHMARK(mssa<tied, forward>)->Name("Mssa<tied>/forward")->Apply(growth<4096>);
BENCHMARK(mssa<tied, forward_backward>)->Name("Mssa<tied>/forward_backward")->Apply(growth<4096>);
BENCHMARK(mssa<free_output, forward>)->Name("Mssa<free>/forward")->Apply(images);
BENCHMARK(mssa<free_output, forward_backward>)->Name("Mssa<free>/forward_backward")->Apply(images);

BENCHMARK(compression<exact, forward>)->Name("Compression<exact>/forward")->Apply(images);
BENCHMARK(compression<exact, forward_backward>)->Name("Compression<exact>/forward_backward")->Apply(images);
BENCHMARK(compression<exact, forward>)->Name("Compression<exact>/forward")->Apply(growth<16384>);
BENCHMARK(compression<exact, forward_backward>)->Name("Compression<exact>/forward_backward")->Apply(growth<4096>);
BENCHMARK(compression<first_order, forward>)->Name("Compression<first_order>/forward")->Apply(images);
BENCHMARK(compression<first_order, forward_backward>)->Name("Compression<first_order>/forward_backward")->Apply(images);
BENCHMARK(compression<softmax, forward>)->Name("Compression<softmax>/forward")->Apply(images);
BENCHMARK(compression<softmax, forward_backward>)->Name("Compression<softmax>/forward_backward")->Apply(images);
BENCHMARK(compression<rate_reduction, forward>)->Name("Compression<rate_reduction>/forward")->Apply(images);
BENCHMARK(compression<rate_reduction, forward_backward>)
    ->Name("Compression<rate_reduction>/forward_backward")
    ->Apply(images);
BENCHMARK(compression<rate_reduction, forward>)->Name("Compression<rate_reduction>/forward")->Apply(growth<16384>);
BENCHMARK(compression<rate_reduction, forward_backward>)
    ->Name("Compression<rate_reduction>/forward_backward")
    ->Apply(growth<4096>);
BENCHMARK(compression<soft_partition, forward>)->Name("Compression<soft_partition>/forward")->Apply(images);
BENCHMARK(compression<soft_partition, forward_backward>)
    ->Name("Compression<soft_partition>/forward_backward")
    ->Apply(images);
BENCHMARK(compression<soft_partition, forward>)->Name("Compression<soft_partition>/forward")->Apply(growth<4096>);
BENCHMARK(compression<soft_partition, forward_backward>)
    ->Name("Compression<soft_partition>/forward_backward")
    ->Apply(growth<4096>);

BENCHMARK(ista<forward>)->Name("Ista/forward")->Apply(images);
BENCHMARK(ista<forward_backward>)->Name("Ista/forward_backward")->Apply(images);
BENCHMARK(overcomplete_ista<forward>)->Name("OvercompleteIsta/forward")->Apply(images);
BENCHMARK(overcomplete_ista<forward_backward>)->Name("OvercompleteIsta/forward_backward")->Apply(images);
BENCHMARK(layer_norm<forward>)->Name("LayerNorm/forward")->Apply(images);
BENCHMARK(layer_norm<forward_backward>)->Name("LayerNorm/forward_backward")->Apply(images);
BENCHMARK(linear<forward>)->Name("Linear/forward")->Apply(images);
BENCHMARK(linear<forward_backward>)->Name("Linear/forward_backward")->Apply(images);
BENCHMARK(dictionary<forward>)->Name("Dictionary/forward")->Apply(images);
BENCHMARK(dictionary<forward_backward>)->Name("Dictionary/forward_backward")->Apply(images);
BENCHMARK(self_attention<forward>)->Name("SelfAttention/forward")->Apply(images);
BENCHMARK(self_attention<forward_backward>)->Name("SelfAttention/forward_backward")->Apply(images);
BENCHMARK(gelu<forward>)->Name("Gelu/forward")->Apply(images);
BENCHMARK(gelu<forward_backward>)->Name("Gelu/forward_backward")->Apply(images);
BENCHMARK(dropout)->Name("Dropout/forward_backward")->Apply(images);
BENCHMARK(mlp<forward>)->Name("Mlp/forward")->Apply(images);
BENCHMARK(mlp<forward_backward>)->Name("Mlp/forward_backward")->Apply(images);

}  // namespace
}  // namespace crate::bench
