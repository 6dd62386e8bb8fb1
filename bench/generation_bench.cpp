// SPDX-License-Identifier: MIT
// Writing one token at a time: what the products of a single column read in a second, and what a token takes.

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "crate/inference/fold.hpp"
#include "crate/inference/generate.hpp"
#include "crate/models/presets.hpp"
#include "measurement.hpp"

namespace {

using namespace crate;
using namespace crate::bench;

constexpr int team = 2;

/// Adds bytes of weights in a second, whether they were read or skipped.
template <class Run>
void time_bytes(benchmark::State& state, std::size_t bytes, const Run& run) {
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * state.iterations());
}

/// W x of the head of a language model, state.range(0) percent of x zeros.
template <FoldedWeight W>
void head_of_one_token(benchmark::State& state) {
  constexpr Index vocabulary = 50304, dim = 768;
  Random random(1);
  Matrix<float> weight(vocabulary, dim), x(dim, 1), logits(vocabulary, 1);
  random.fill_uniform(weight, -1, 1);
  random.fill_normal(x);
  for (float& number : x.reshaped())
    if (100 * random.uniform() < static_cast<double>(state.range(0))) number = 0;
  const FoldedLinear<W> head{AffineMap(weight)};
  Threads threads(team);
  Workspace workspace;
  const TokenLayout layout = TokenLayout::single(1);
  Pass<float> pass(layout, threads, workspace);
  head.forward(x, logits, pass);
  const Matrix<double> expected = weight.cast<double>() * x.cast<double>();
  if (!agrees<float>(state, logits, expected, std::same_as<W, bfloat16> ? 1e5 : 100)) return;
  time_bytes(state, head.bytes_held(), [&] { head.forward(x, logits, pass); });
}
BENCHMARK(head_of_one_token<float>)->Arg(0)->Arg(50)->Arg(75)->Arg(90)->UseRealTime();
BENCHMARK(head_of_one_token<bfloat16>)->Arg(0)->Arg(50)->Arg(75)->Arg(90)->UseRealTime();

/// A token behind state.range(0) others.
template <class Model, FoldedWeight W>
void next_token(benchmark::State& state, const typename Model::Options& options) {
  Threads threads(team);
  Model start(options);
  initialise(start, 1);
  const auto model = fold<W>(std::move(start), &threads);
  const Index past = state.range(0);
  auto cache = token_cache(model, past + 1);
  Workspace workspace;
  const Run<float> run{.threads = &threads, .workspace = &workspace, .cache = &cache};
  const std::vector<Index> text(static_cast<std::size_t>(past), 7), next{8};
  Matrix<float> logits(model.output_dim(), 1);
  const TokenLayout layout = TokenLayout::single(past).with_chosen({past - 1});
  model.forward(TokenIds(text, layout), logits, run);
  time_bytes(state, model.bytes_held(), [&] {
    cache.forget(0, past);
    model.forward(TokenIds(next), logits, run);
  });
  state.counters["cache MB"] = 1e-6 * static_cast<double>(cache.bytes());
}
constexpr auto next_token_crate_f32 = next_token<CrateLanguageModel<float>, float>;
constexpr auto next_token_crate_bf16 = next_token<CrateLanguageModel<float>, bfloat16>;
constexpr auto next_token_transformer_f32 = next_token<TransformerLanguageModel<float>, float>;
BENCHMARK_CAPTURE(next_token_crate_f32, crate_gpt2_base, presets::crate_gpt2_base())->Arg(32)->Arg(1000)->UseRealTime();
BENCHMARK_CAPTURE(next_token_crate_bf16, crate_gpt2_base, presets::crate_gpt2_base())->Arg(32)->UseRealTime();
BENCHMARK_CAPTURE(next_token_transformer_f32, gpt2, presets::gpt2())->Arg(32)->UseRealTime();

}  // namespace
