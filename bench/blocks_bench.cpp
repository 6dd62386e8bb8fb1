// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include "passes.hpp"

// Blocks and stacks of blocks on batches of token sets, forward and back, with p = 64 unless said otherwise. Each is
// compared with the pure operators in double before it is timed.

namespace crate::bench {
namespace {

template <class Block, Passes passes>
void block(benchmark::State& state) {
  time_passes<passes>(state, Block({.dim = dim(state), .heads = heads(state)}));
}

/// A strict block, whose step size is that for which the law holds at these subspaces.
template <class Block, CompressionStep step>
void strict_block(benchmark::State& state) {
  time_passes<Passes::forward>(
      state, Block({.dim = dim(state),
                    .heads = heads(state),
                    .compression = {.kappa = 0.05, .step = step, .logit_scale = logit_scale_of(step)}}));
}

/// The blocks of a published classifier: CRATE-Tiny, -Small, -Base, -Large by their width.
void published_stack(benchmark::State& state) {
  const Index number_of_heads = dim(state) == 384 ? 6 : dim(state) == 1024 ? 16 : 12;
  const Index depth = dim(state) == 1024 ? 24 : 12;
  time_passes<Passes::forward>(state, Encoder<CrateBlock<float>>(depth, {.dim = dim(state), .heads = number_of_heads}));
}

void lengths(benchmark::internal::Benchmark* benchmark) {
  sizes(benchmark)->ArgsProduct({{384, 768}, {64, 197, 1024}, {1}, {1, 2}});
  sizes(benchmark)->ArgsProduct({{384, 768}, {197}, {8}, {1, 2}});
}

void stacks(benchmark::internal::Benchmark* benchmark) {
  sizes(benchmark)->ArgsProduct({{384, 576, 768, 1024}, {197}, {1, 8}, {1, 2}})->Unit(benchmark::kMillisecond);
}

constexpr auto forward = Passes::forward, forward_backward = Passes::forward_backward;
constexpr auto exact = CompressionStep::exact, first_order = CompressionStep::first_order,
               softmax = CompressionStep::softmax, rate_reduction = CompressionStep::rate_reduction,
               soft_partition = CompressionStep::soft_partition;

BENCHMARK(block<CrateBlock<float>, forward>)->Name("CrateBlock/forward")->Apply(images);
BENCHMARK(block<CrateBlock<float>, forward_backward>)->Name("CrateBlock/forward_backward")->Apply(images);
BENCHMARK(block<CrateBlock<float>, forward>)->Name("CrateBlock/forward")->Apply(growth<4096>);
BENCHMARK(block<CrateBlock<float>, forward_backward>)->Name("CrateBlock/forward_backward")->Apply(growth<4096>);
BENCHMARK(block<CrateBlock<double>, forward>)->Name("CrateBlock<double>/forward")->Apply(images);
BENCHMARK(block<TransformerBlock<float>, forward>)->Name("TransformerBlock/forward")->Apply(lengths);
BENCHMARK(block<TransformerBlock<float>, forward_backward>)->Name("TransformerBlock/forward_backward")->Apply(images);
BENCHMARK(block<CrateDecoderBlock<float>, forward>)->Name("CrateDecoderBlock/forward")->Apply(lengths);
BENCHMARK(block<CrateAlphaBlock<float>, forward>)->Name("CrateAlphaBlock/forward")->Apply(lengths);
BENCHMARK(block<CrateAlphaBlock<float>, forward_backward>)->Name("CrateAlphaBlock/forward_backward")->Apply(images);
BENCHMARK(block<OvercompleteBlock<float>, forward>)->Name("OvercompleteBlock/forward")->Apply(lengths);
BENCHMARK(strict_block<StrictBlock<float>, exact>)->Name("StrictBlock<exact>/forward")->Apply(lengths);
BENCHMARK(strict_block<StrictBlock<float>, first_order>)->Name("StrictBlock<first_order>/forward")->Apply(images);
BENCHMARK(strict_block<StrictBlock<float>, softmax>)->Name("StrictBlock<softmax>/forward")->Apply(images);
BENCHMARK(strict_block<StrictBlock<float>, rate_reduction>)->Name("StrictBlock<rate_reduction>/forward")->Apply(images);
BENCHMARK(strict_block<StrictBlock<float>, soft_partition>)->Name("StrictBlock<soft_partition>/forward")->Apply(images);
BENCHMARK(strict_block<StrictDecoderBlock<float>, exact>)->Name("StrictDecoderBlock<exact>/forward")->Apply(lengths);
BENCHMARK(published_stack)->Name("stack_of_CrateBlocks/forward")->Apply(stacks);

}  // namespace
}  // namespace crate::bench
