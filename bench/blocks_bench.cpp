// SPDX-License-Identifier: MIT
#include <benchmark/benchmark.h>

#include <memory>
#include <string_view>

#include "crate/crate.hpp"
#include "measurement.hpp"

// Layers, blocks and stacks of blocks on batches of token sets, with p = 64 unless said otherwise. Each is compared
// with the pure operators in double, set by set, before it is timed.

namespace crate::bench {
namespace {

// --- plain: the same formulas on one token set, in double ------------------------------------------------------------

using Wide = Matrix<double>;

template <class Derived>
Wide wide(const Eigen::MatrixBase<Derived>& matrix) {
  return matrix.template cast<double>();
}

template <Scalar S>
Subspaces<Wide> wide(const Subspaces<Matrix<S>>& subspaces) {
  return {wide(subspaces.bases()), subspaces.heads()};
}

template <Scalar S>
Wide plain(const LayerNorm<S>& norm, const Wide& z) {
  return layer_norm(z, wide(norm.weight), wide(norm.bias), norm.options);
}

template <Scalar S>
Wide plain(const Mssa<S>& layer, const Wide& z) {
  if (!layer.output) return mssa(z, wide(layer.subspaces), layer.attention);
  const Linear<S>& output = *layer.output;
  const Wide bias = output.bias.size() != 0 ? wide(output.bias) : Wide::Zero(output.output_dim(), 1);
  return mssa(z, wide(layer.subspaces), wide(output.weight), bias, layer.attention);
}

template <Scalar S>
Wide plain(const Compression<S>& layer, const Wide& z) {
  return compress(z, wide(layer.subspaces), layer.options);
}

template <Scalar S>
Wide plain(const Ista<S>& layer, const Wide& z) {
  return ista(z, wide(layer.dictionary), layer.options);
}

template <Scalar S>
Wide plain(const OvercompleteIsta<S>& layer, const Wide& z) {
  return wide(layer.decoding.size() != 0 ? layer.decoding : layer.dictionary) *
         sparse_code(z, wide(layer.dictionary), layer.options);
}

template <Scalar S>
Wide plain(const Dictionary<S>& layer, const Wide& z) {
  return wide(layer.dictionary) * z;
}

template <Scalar S>
Wide plain(const Linear<S>& layer, const Wide& z) {
  return (wide(layer.weight) * z).colwise() + Eigen::VectorXd(wide(layer.bias));
}

template <Scalar S>
Wide plain(const SelfAttention<S>& layer, const Wide& z) {
  const Wide projected = plain(layer.projection, z);
  const Index d = layer.output.input_dim();
  const Wide attended = attention(projected.topRows(d), projected.middleRows(d, d), projected.bottomRows(d),
                                  layer.heads, layer.attention);
  return plain(layer.output, attended);
}

template <Scalar S>
Wide plain(const Gelu<S>& layer, const Wide& z) {
  return gelu(z, layer.form);
}

template <class Self, Scalar S>
Wide plain(const Chain<Self, S>& chain, const Wide& z);

template <class Inner>
Wide plain(const PreNorm<Inner>& layer, const Wide& z) {
  return plain(layer.layer, plain(layer.norm, z));
}

template <class Inner, int sign>
Wide plain(const detail::SignedResidual<Inner, sign>& layer, const Wide& z) {
  return z + sign * plain(layer.branch, z);
}

template <class Self, Scalar S>
Wide plain(const Chain<Self, S>& chain, const Wide& z) {
  Wide current = z;
  chain.for_each_link([&](std::string_view, const auto& link, std::size_t) { current = plain(link, current); });
  return current;
}

// --- timing ----------------------------------------------------------------------------------------------------------

/// Checks and times layer.forward. Arguments of the benchmark: width, tokens in a set, sets, threads.
template <Layer L>
void time_forward(benchmark::State& state, L layer) {
  using S = typename L::Scalar;
  initialise(layer, 1);
  const Index length = state.range(1), sets = state.range(2);
  const int threads = static_cast<int>(state.range(3));
  const TokenSets<S> z(random_tokens<S>(layer.input_dim(), length * sets), TokenLayout::equal(sets, length));
  Threads team(threads);
  Workspace workspace;
  const auto run = [&] { return forward(layer, z, {.threads = &team, .workspace = &workspace}); };

  const Matrix<S> found = run().tokens;
  for (Index set = 0; set < sets; ++set) {
    const auto columns = Eigen::seqN(set * length, length);
    if (!agrees<S>(state, found(Eigen::all, columns), plain(layer, wide(z.tokens(Eigen::all, columns))))) return;
  }
  const Work work{.tokens = z.tokens.cols(), .multiply_adds = layer.multiply_adds(z.layout), .threads = threads};
  time_work<S>(state, work, run);
}

Index dim(const benchmark::State& state) { return state.range(0); }
Index heads(const benchmark::State& state) { return dim(state) / 64; }

// --- layers ----------------------------------------------------------------------------------------------------------

template <Scalar S>
void layer_norm_layer(benchmark::State& state) {
  time_forward(state, LayerNorm<S>(dim(state)));
}

template <Scalar S>
void linear_layer(benchmark::State& state) {
  time_forward(state, Linear<S>(dim(state), dim(state)));
}

template <Scalar S>
void dictionary_layer(benchmark::State& state) {
  time_forward(state, Dictionary<S>(dim(state)));
}

template <Scalar S, MssaOutput output>
void mssa_layer(benchmark::State& state) {
  time_forward(state, Mssa<S>({.dim = dim(state), .heads = heads(state), .output = output}));
}

template <Scalar S>
void self_attention_layer(benchmark::State& state) {
  time_forward(state, SelfAttention<S>({.dim = dim(state), .heads = heads(state)}));
}

template <Scalar S>
void gelu_layer(benchmark::State& state) {
  time_forward(state, Gelu<S>{4 * dim(state)});
}

template <Scalar S>
void mlp_layer(benchmark::State& state) {
  time_forward(state, Mlp<S>(dim(state), 4 * dim(state)));
}

template <Scalar S, CompressionStep step>
void compression_layer(benchmark::State& state) {
  const Matrix<S> zero = Matrix<S>::Zero(dim(state), dim(state));
  time_forward(state, Compression<S>({zero, heads(state)}, {.step = step, .logit_scale = 0.125}));
}

template <Scalar S>
void ista_layer(benchmark::State& state) {
  time_forward(state, Ista<S>(dim(state)));
}

template <Scalar S>
void overcomplete_ista_layer(benchmark::State& state) {
  time_forward(state, OvercompleteIsta<S>(dim(state), 4 * dim(state), Decoding::tied));
}

// --- blocks and stacks -----------------------------------------------------------------------------------------------

template <class Block>
void block(benchmark::State& state) {
  time_forward(state, Block({.dim = dim(state), .heads = heads(state)}));
}

/// A strict block, whose step size is that for which the law holds at these subspaces.
template <class Block, CompressionStep step>
void strict_block(benchmark::State& state) {
  time_forward(state, Block({.dim = dim(state),
                             .heads = heads(state),
                             .compression = {.kappa = 0.05, .step = step, .logit_scale = 0.125}}));
}

/// The blocks of a published classifier: CRATE-Tiny, -Small, -Base, -Large by their width.
void published_stack(benchmark::State& state) {
  const Index number_of_heads = dim(state) == 384 ? 6 : dim(state) == 1024 ? 16 : 12;
  const Index depth = dim(state) == 1024 ? 24 : 12;
  time_forward(state, Encoder<CrateBlock<float>>(depth, {.dim = dim(state), .heads = number_of_heads}));
}

// --- sizes -----------------------------------------------------------------------------------------------------------

auto* sizes(benchmark::internal::Benchmark* benchmark) {
  return benchmark->ArgNames({"dim", "tokens", "batch", "threads"})
      ->MinTime(0.1)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void layer_grid(benchmark::internal::Benchmark* benchmark) {
  sizes(benchmark)->ArgsProduct({{384, 768}, {197}, {1, 8}, {1, 2}});
}

void block_grid(benchmark::internal::Benchmark* benchmark) {
  sizes(benchmark)
      ->ArgsProduct({{384, 768}, {64, 197, 1024}, {1}, {1, 2}})
      ->ArgsProduct({{384, 768}, {197}, {8}, {1, 2}});
}

void stack_grid(benchmark::internal::Benchmark* benchmark) {
  sizes(benchmark)->ArgsProduct({{384, 576, 768, 1024}, {197}, {1, 8}, {1, 2}})->Unit(benchmark::kMillisecond);
}

/// The width of CRATE-Base; what costs what with more and more tokens.
template <Index longest>
void growth(benchmark::internal::Benchmark* benchmark) {
  for (const Index threads : {1, 2}) {
    sizes(benchmark)->Args({768, 197, 1, threads});
    for (Index tokens = 256; tokens <= longest; tokens *= 2) benchmark->Args({768, tokens, 1, threads});
  }
}

constexpr auto exact = CompressionStep::exact;
constexpr auto first_order = CompressionStep::first_order;
constexpr auto softmax = CompressionStep::softmax;

BENCHMARK(compression_layer<float, exact>)->Apply(growth<16384>);
BENCHMARK(mssa_layer<float, MssaOutput::tied>)->Apply(growth<4096>);
BENCHMARK(published_stack)->Apply(stack_grid);

BENCHMARK(layer_norm_layer<float>)->Apply(layer_grid);
BENCHMARK(linear_layer<float>)->Apply(layer_grid);
BENCHMARK(dictionary_layer<float>)->Apply(layer_grid);
BENCHMARK(mssa_layer<float, MssaOutput::free>)->Apply(layer_grid);
BENCHMARK(self_attention_layer<float>)->Apply(layer_grid);
BENCHMARK(gelu_layer<float>)->Apply(layer_grid);
BENCHMARK(mlp_layer<float>)->Apply(layer_grid);
BENCHMARK(compression_layer<float, first_order>)->Apply(layer_grid);
BENCHMARK(compression_layer<float, softmax>)->Apply(layer_grid);
BENCHMARK(ista_layer<float>)->Apply(layer_grid);
BENCHMARK(overcomplete_ista_layer<float>)->Apply(layer_grid);

BENCHMARK(block<CrateBlock<float>>)->Apply(block_grid);
BENCHMARK(block<TransformerBlock<float>>)->Apply(block_grid);
BENCHMARK(block<CrateBlock<double>>)->Apply(layer_grid);
BENCHMARK(block<CrateDecoderBlock<float>>)->Apply(block_grid);
BENCHMARK(block<CrateAlphaBlock<float>>)->Apply(block_grid);
BENCHMARK(block<OvercompleteBlock<float>>)->Apply(block_grid);
BENCHMARK(strict_block<StrictBlock<float>, exact>)->Apply(block_grid);
BENCHMARK(strict_block<StrictBlock<float>, first_order>)->Apply(layer_grid);
BENCHMARK(strict_block<StrictBlock<float>, softmax>)->Apply(layer_grid);
BENCHMARK(strict_block<StrictDecoderBlock<float>, exact>)->Apply(block_grid);

}  // namespace
}  // namespace crate::bench
