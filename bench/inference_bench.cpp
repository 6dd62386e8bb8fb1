// SPDX-License-Identifier: MIT

// Folded models: images in, logits out, compared first with the model they were folded from; where the time of a pass
// goes; and the packed product alone.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "crate/crate.hpp"
#include "measurement.hpp"

namespace crate::bench {
namespace {

/// Milliseconds of each of the bodies, medians of rounds in which they take turns, so that all see the same machine.
[[nodiscard]] std::vector<double> milliseconds_of(const std::vector<std::function<void()>>& bodies) {
  constexpr std::size_t rounds = 15;
  std::vector<std::vector<double>> times(bodies.size());
  for (std::size_t round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      const auto start = std::chrono::steady_clock::now();
      bodies[i]();
      times[i].push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
  std::vector<double> medians;
  for (std::vector<double>& of_body : times) {
    std::nth_element(of_body.begin(), of_body.begin() + rounds / 2, of_body.end());
    medians.push_back(of_body[rounds / 2]);
  }
  return medians;
}

/// Arguments: images in a batch, threads.
template <FoldedWeight W, class Model>
void folded(benchmark::State& state, const typename Model::Options& options) {
  Model model(options);
  initialise(model, 1);
  const Index batch = state.range(0);
  Threads threads(static_cast<int>(state.range(1)));
  Workspace workspace;
  const Run<float> run{.threads = &threads, .workspace = &workspace};
  const Matrix<float> images = random_tokens<float>(patch_grid(model).values_per_image(), batch);
  const Matrix<float> expected = model.forward(images, run);
  const auto fast = fold<W>(std::move(model));
  Matrix<float> logits = fast.forward(images, run);
  if (!agrees<float>(state, logits, expected, std::same_as<W, bfloat16> ? 5e5 : 500)) return;
  const Work work{.tokens = batch * (1 + patch_grid(fast).patches()),
                  .multiply_adds = fast.multiply_adds(TokenLayout::equal(batch, 1)),
                  .threads = threads.count()};
  time_work<float>(state, work, [&] {
    fast.forward(images, logits, run);
    return logits(0, 0);
  });
  state.counters["ms/image"] = benchmark::Counter(
      static_cast<double>(batch) * 1e-3, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

/// The stages of a classifier's blocks, each on tokens and weights of the right sizes, as many as the blocks have. With
/// bfloat16 weights all tokens are rounded beforehand; that a model rounds them, and not for the first block's
/// attention, is in the rest.
template <FoldedWeight W>
class Stages {
 public:
  Stages(const CrateClassifier<float>::Options& options, Threads& threads)
      : dim_(options.block.dim),
        heads_(options.block.heads),
        layout_(TokenLayout::single(1 + options.image.grid().patches())),
        threads_(threads),
        tokens_(random_tokens<float>(dim_, layout_.tokens())),
        out_(dim_, layout_.tokens()) {
    const AffineMap map(random_tokens<float>(dim_, dim_));
    for (Index i = 0; i < 3 * options.depth; ++i) products_.emplace_back(map, detail::Activation::relu);
  }

  /// The first block's three products to the last block's.
  void products() {
    if (products_.front().keeps_tokens())
      products_of_tokens<float>();
    else
      products_of_tokens<W>();
  }
  [[nodiscard]] double products_flops() const {
    return 2 * static_cast<double>(products_.size()) * products_.front().multiply_adds(layout_);
  }

  void attention() {
    if (products_.front().keeps_tokens())
      attention_kept_as<float>();
    else
      attention_kept_as<W>();
  }
  void softmax() {
    const Index length = layout_.tokens(), stride = detail::round_up(length, 16);
    Matrix<float> scores = Matrix<float>::Zero(stride, threads_.count());
    threads_.for_each(static_cast<Index>(products_.size()) / 3 * heads_, [&](Index, int worker) {
      for (Index j = 0; j < length; ++j)
        detail::with_kernels(instruction_set(), [&]<class K>(K) {
          benchmark::DoNotOptimize(K::exponentials_in_place(scores.col(worker).data(), length, length, 0.125F));
        });
    });
  }
  void norms() {
    Workspace::Frame frame(workspace_);
    auto* const deviations = frame.array<float>(tokens_.cols());
    for (std::size_t norm = 0; 3 * norm < 2 * products_.size(); ++norm)
      detail::inverse_deviations_into<float>(instruction_set(), detail::columns_of(std::as_const(tokens_)), dim_,
                                             tokens_.cols(), 1e-5, deviations, threads_);
  }

 private:
  template <class Token>
  void products_of_tokens() {
    const Index pairs = detail::round_up(dim_, 2);
    Workspace::Frame frame(workspace_);
    const detail::Columns<Token> kept{frame.array<Token>(pairs * tokens_.cols()), pairs};
    std::fill_n(kept.first, pairs * tokens_.cols(), Token(0.5F));
    for (const FoldedLinear<W>& product : products_)
      product.apply(kept, tokens_.cols(), detail::columns_of(std::as_const(tokens_)), detail::columns_of(out_),
                    workspace_, threads_);
  }

  template <class Token>
  void attention_kept_as() {
    Workspace::Frame frame(workspace_);
    const detail::Columns<Token> kept{frame.array<Token>(dim_ * tokens_.cols()), dim_};
    const detail::Columns<const float> h = detail::columns_of(std::as_const(tokens_));
    const detail::AttentionHeads<float> heads{h, h, h, heads_, dim_ / heads_, layout_, false, 0.125F};
    for (std::size_t block = 0; 3 * block < products_.size(); ++block)
      detail::attend_heads(instruction_set(), heads, false, kept, workspace_, threads_);
  }

  Index dim_, heads_;
  TokenLayout layout_;
  Threads& threads_;
  Workspace workspace_;
  Matrix<float> tokens_, out_;
  std::vector<FoldedLinear<W>> products_;
};

/// Where the time of a pass goes: milliseconds of all blocks' products, attention (its softmax apart) and norms, and of
/// the rest, which the last block, that computes one token, makes smaller. Argument: threads.
template <FoldedWeight W>
void where_the_time_goes(benchmark::State& state, const CrateClassifier<float>::Options& options) {
  CrateClassifier<float> model(options);
  initialise(model, 1);
  const auto fast = fold<W>(std::move(model));
  Threads threads(static_cast<int>(state.range(0)));
  Workspace workspace;
  const Matrix<float> image = random_tokens<float>(patch_grid(fast).values_per_image(), 1);
  Matrix<float> logits(fast.output_dim(), 1);
  for (auto _ : state) {
    fast.forward(image, logits, {.threads = &threads, .workspace = &workspace});
    benchmark::DoNotOptimize(logits.data());
  }
  Stages<W> stages(options, threads);
  CachedTile<W> tile(threads);
  const std::vector<double> times = milliseconds_of(
      {[&] { fast.forward(image, logits, {.threads = &threads, .workspace = &workspace}); }, [&] { stages.products(); },
       [&] { stages.attention(); }, [&] { stages.softmax(); }, [&] { stages.norms(); }, [&] { tile.multiply(); }});
  const double all = times[0], products = times[1], attention = times[2], softmax = times[3], norms = times[4];
  state.counters["all ms"] = all;
  state.counters["products ms"] = products;
  state.counters["attention ms"] = attention - softmax;
  state.counters["softmax ms"] = softmax;
  state.counters["norms ms"] = norms;
  state.counters["rest ms"] = all - products - attention - norms;
  state.counters["products GFLOP/s"] = 1e-6 * stages.products_flops() / products;
  state.counters["products %peak"] = 100 * stages.products_flops() / products / (tile.flops() / times[5]);
}

/// What decides whether bfloat16 weights are multiplied as they are: the multiply-adds of the micro-kernel, with floats
/// and with pairs of bfloat16. Argument: threads.
template <FoldedWeight W>
void arithmetic(benchmark::State& state) {
  if (std::same_as<W, bfloat16> && !is_supported(InstructionSet::avx512_bfloat16))
    return state.SkipWithError("this processor does not multiply bfloat16");
  Threads threads(static_cast<int>(state.range(0)));
  CachedTile<W> tile(threads);
  for (auto _ : state) tile.multiply();
  state.counters["GFLOP/s"] = benchmark::Counter(1e-9 * tile.flops(), benchmark::Counter::kIsIterationInvariantRate);
}

void batches_and_threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"batch", "threads"})
      ->ArgsProduct({{1, 8}, {1, 2}})
      ->MinTime(0.1)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}
void one_or_two_threads(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("threads")->Arg(1)->Arg(2)->MinTime(0.1)->UseRealTime()->Unit(benchmark::kMillisecond);
}

void folded_crate(benchmark::State& state, const CrateClassifier<float>::Options& options) {
  folded<float, CrateClassifier<float>>(state, options);
}
void folded_crate_bfloat16(benchmark::State& state, const CrateClassifier<float>::Options& options) {
  folded<bfloat16, CrateClassifier<float>>(state, options);
}
void folded_crate_alpha(benchmark::State& state, const CrateAlphaClassifier<float>::Options& options) {
  folded<float, CrateAlphaClassifier<float>>(state, options);
}
void folded_crate_alpha_bfloat16(benchmark::State& state, const CrateAlphaClassifier<float>::Options& options) {
  folded<bfloat16, CrateAlphaClassifier<float>>(state, options);
}
void folded_vit(benchmark::State& state, const TransformerClassifier<float>::Options& options) {
  folded<float, TransformerClassifier<float>>(state, options);
}
void folded_vit_bfloat16(benchmark::State& state, const TransformerClassifier<float>::Options& options) {
  folded<bfloat16, TransformerClassifier<float>>(state, options);
}
void time_of_stages(benchmark::State& state, const CrateClassifier<float>::Options& options) {
  where_the_time_goes<float>(state, options);
}
void time_of_stages_bfloat16(benchmark::State& state, const CrateClassifier<float>::Options& options) {
  where_the_time_goes<bfloat16>(state, options);
}

BENCHMARK_TEMPLATE(arithmetic, float)->Apply(one_or_two_threads);
BENCHMARK_TEMPLATE(arithmetic, bfloat16)->Apply(one_or_two_threads);
BENCHMARK_CAPTURE(folded_crate, tiny, presets::crate_tiny())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_crate, small, presets::crate_small())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_crate, base, presets::crate_base())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_crate, large, presets::crate_large())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_crate, small_8, presets::crate_small_8())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_crate_bfloat16, tiny, presets::crate_tiny())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_crate_bfloat16, base, presets::crate_base())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_crate_alpha, base_16, presets::crate_alpha_base_16())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_crate_alpha_bfloat16, base_16, presets::crate_alpha_base_16())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_vit, tiny, presets::vit_tiny())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_vit, base, presets::vit_base())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(folded_vit_bfloat16, base, presets::vit_base())->Apply(batches_and_threads);
BENCHMARK_CAPTURE(time_of_stages, tiny, presets::crate_tiny())->Apply(one_or_two_threads);
BENCHMARK_CAPTURE(time_of_stages, base, presets::crate_base())->Apply(one_or_two_threads);
BENCHMARK_CAPTURE(time_of_stages_bfloat16, tiny, presets::crate_tiny())->Apply(one_or_two_threads);
BENCHMARK_CAPTURE(time_of_stages_bfloat16, base, presets::crate_base())->Apply(one_or_two_threads);

}  // namespace
}  // namespace crate::bench
