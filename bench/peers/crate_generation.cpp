// SPDX-License-Identifier: MIT

// Milliseconds that our generation takes: of CRATE-GPT2-Base or GPT-2 small at a random start,
//   crate_generation MODEL PRECISION ZEROS PROMPT TOKENS ROUNDS THREADS
// with MODEL crate or gpt2, PRECISION f32 or bf16. ZEROS raises ISTA's threshold until that share of its output is
// zero, as no random start has the sparsity of a trained model; 0 leaves it. The same blocks also encode as many tokens
// as the prompt has, which see each other all. Prints one line of JSON.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "crate/inference/fold.hpp"
#include "crate/inference/generate.hpp"
#include "crate/models/presets.hpp"

namespace {

using namespace crate;
using Clock = std::chrono::steady_clock;

struct Plan {
  double zeros;
  Index prompt, tokens;
  int rounds, threads;
};

double milliseconds_since(Clock::time_point start) {
  return 1e3 * std::chrono::duration<double>(Clock::now() - start).count();
}

double read_gigabytes_per_second(Threads& threads) {
  constexpr Index piece = Index{1} << 19U, pieces = 512;
  Vector<float> numbers;
  set_zero(numbers, piece * pieces, 1);
  std::vector<float> sums(static_cast<std::size_t>(threads.count()) * 64);
  double best = 0;
  for (int round = 0; round < 8; ++round) {
    const auto start = Clock::now();
    threads.for_each(pieces, [&](Index i, int worker) {
      Eigen::Array<float, 128, 1> sum = Eigen::Array<float, 128, 1>::Zero();
      for (Index k = 0; k < piece; k += 128) sum += numbers.segment<128>(i * piece + k).array();
      sums[static_cast<std::size_t>(worker) * 64] += sum.sum();
    });
    best = std::max(best, 1e-6 * 4 * piece * pieces / milliseconds_since(start));
  }
  return best;
}

/// Milliseconds that the blocks of an encoder take, folded, for a set of so many tokens, each of which sees all: what a
/// prompt is measured by.
template <class W, class Block>
double encoder_milliseconds(typename Block::Options options, Index depth, Index tokens, int rounds, Threads& threads) {
  options.mask = AttentionMask::none;
  Encoder<Block> start(depth, options);
  initialise(start, 1);
  const auto encoder = fold<W>(std::move(start), &threads);
  Workspace workspace;
  Random random(3);
  Matrix<float> z(options.dim, tokens), out(options.dim, tokens);
  random.fill_normal(z);
  double least = std::numeric_limits<double>::infinity();
  for (int round = 0; round < rounds; ++round) {
    const auto begin = Clock::now();
    encoder.forward(z, out, Run<float>{.threads = &threads, .workspace = &workspace});
    least = std::min(least, milliseconds_since(begin));
  }
  return least;
}

/// The level of prox that leaves so many zeros of normal numbers.
template <class Options>
void set_sparsity(Options& options, double zeros) {
  if constexpr (requires { options.block.lambda; })
    if (zeros > 0) options.block.lambda = normal_quantile(zeros) / options.block.step;
}

template <class W, class Block>
void measure(LanguageModelOptions<typename Block::Options> options, const Plan& plan) {
  using Model = LanguageModel<Block>;
  set_sparsity(options, plan.zeros);
  Threads threads(plan.threads);
  Model start(options);
  initialise(start, 1);
  const auto model = fold<W>(std::move(start), &threads);
  Workspace workspace;
  auto cache = token_cache(model, plan.prompt + plan.tokens);
  const Run<float> run{.threads = &threads, .workspace = &workspace, .cache = &cache};
  std::vector<Index> ids(static_cast<std::size_t>(plan.prompt));
  Random random(2);
  for (Index& id : ids) id = random.below(50000);
  Vector<float> logits(model.output_dim());
  std::vector<double> prompts, tokens;
  for (int round = 0; round < plan.rounds; ++round) {
    cache.forget(0);
    auto begin = Clock::now();
    model.forward(TokenIds(ids, TokenLayout::single(plan.prompt).with_chosen({plan.prompt - 1})), logits, run);
    prompts.push_back(milliseconds_since(begin));
    for (Index i = 0; i < plan.tokens; ++i) {
      begin = Clock::now();
      Index best = 0;
      logits.maxCoeff(&best);
      const std::vector<Index> next{best};
      model.forward(TokenIds(next), logits, run);
      tokens.push_back(milliseconds_since(begin));
    }
  }
  const auto median = [](std::vector<double> times) {
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  };
  const double least = *std::min_element(tokens.begin(), tokens.end());
  const double embedding = 4.0 * static_cast<double>(options.vocabulary + options.context) * 768;
  const double read = static_cast<double>(model.bytes_held()) - embedding,
               bandwidth = read_gigabytes_per_second(threads);
  std::printf(
      "{\"prompt_ms\": %.2f, \"prompt_ms_least\": %.2f, \"encoder_ms_least\": %.2f, \"token_ms\": %.3f, "
      "\"token_ms_least\": %.3f, \"weights_mb\": %.1f, \"cache_mb\": %.2f, \"read_gb_s\": %.1f, "
      "\"share_of_bandwidth\": %.2f}\n",
      median(prompts), *std::min_element(prompts.begin(), prompts.end()),
      encoder_milliseconds<W, Block>(options.block, options.depth, plan.prompt, plan.rounds, threads), median(tokens),
      least, 1e-6 * read, 1e-6 * static_cast<double>(cache.bytes()), bandwidth, 1e-6 * read / least / bandwidth);
}

template <class W>
void measure(const std::string& model, const Plan& plan) {
  if (model == "gpt2") return measure<W, TransformerBlock<float>>(presets::gpt2(), plan);
  measure<W, CrateBlock<float>>(presets::crate_gpt2_base(), plan);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 8) {
    std::fputs("crate_generation MODEL PRECISION ZEROS PROMPT TOKENS ROUNDS THREADS\n", stderr);
    return 1;
  }
  const std::string model = arguments[1], precision = arguments[2];
  const Plan plan{std::atof(arguments[3]), std::atol(arguments[4]), std::atol(arguments[5]), std::atoi(arguments[6]),
                  std::atoi(arguments[7])};
  if (precision == "bf16")
    measure<bfloat16>(model, plan);
  else
    measure<float>(model, plan);
  return 0;
}
