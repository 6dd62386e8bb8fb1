// SPDX-License-Identifier: MIT
// Folded layers, blocks and encoders compute what they were folded from.

#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/blocks/crate_alpha_block.hpp"
#include "crate/blocks/crate_block.hpp"
#include "crate/blocks/crate_decoder_block.hpp"
#include "crate/blocks/overcomplete_block.hpp"
#include "crate/blocks/transformer_block.hpp"
#include "crate/inference/fold.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/encoder.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

template <class S>
constexpr double tolerance = std::is_same_v<S, double> ? 1e-12 : 1e-5;

/// Random weights, the norms and biases not those of an untrained layer.
template <class L>
L with_random_weights(L layer, std::uint64_t seed) {
  initialise(layer, seed);
  Random random(seed, 7);
  for_each_parameter(
      [&](std::string_view name, ParameterKind, auto& parameter) {
        if (parameter.cols() != 1) return;
        random.fill_uniform(parameter, -0.3, 0.3);
        if (name.ends_with("norm.weight")) parameter.array() += 1;
      },
      layer);
  return layer;
}

template <class S>
TokenSets<S> draw_sets(Random& random, Index dim) {
  const TokenLayout layout = TokenLayout({draw_index(random, 1, 30), 1, 7}).with_visible({1, 1, 5});
  return {(draw_normal(random, dim, layout.tokens()).array() + 0.5).template cast<S>(), layout};
}

template <FoldedWeight W, class L>
void check_folded_as(const L& plain, const TokenSets<typename L::Scalar>& sets, double largest_error) {
  using S = typename L::Scalar;
  const auto folded = fold<W>(plain);
  CAPTURE(plain.formula("Z"), plain.input_dim());
  const Matrix<S> found = forward(folded, sets).tokens;
  CHECK(relative_error(found, forward(plain, sets).tokens) < largest_error);
  Threads threads(3);
  CHECK(forward(folded, sets, {.threads = &threads}).tokens == found);
  CHECK(folded.input_dim() == plain.input_dim());
  CHECK(folded.output_dim() == plain.output_dim());
}

/// Also with bfloat16 weights, which have 8 bits.
template <class L>
void check_folded(Random& random, const L& plain) {
  using S = typename L::Scalar;
  const TokenSets<S> sets = draw_sets<S>(random, plain.input_dim());
  check_folded_as<S>(plain, sets, tolerance<S>);
  if constexpr (std::same_as<S, float>) check_folded_as<bfloat16>(plain, sets, 0.05);
}

/// Heads, their dimension and the width, seldom multiples of each other.
DrawnSizes draw_width(Random& random) {
  DrawnSizes sizes = draw_sizes(random);
  sizes.dim = draw_index(random, 2, 70);
  sizes.head_dim = draw_index(random, 1, 20);
  return sizes;
}

}  // namespace

TEMPLATE_TEST_CASE("a folded MSSA with any output, mask and factor is the plain one", "", float, double) {
  for_random_draws(12, [](Random& random) {
    const auto [dim, tokens, heads, head_dim] = draw_width(random);
    const auto output = static_cast<MssaOutput>(random.below(2));
    const PreNorm<Mssa<TestType>> mssa(Mssa<TestType>({.dim = dim,
                                                       .heads = heads,
                                                       .head_dim = head_dim,
                                                       .output = output,
                                                       .output_bias = random.below(2) == 0,
                                                       .scale_logits = random.below(2) == 0,
                                                       .mask = static_cast<AttentionMask>(random.below(2)),
                                                       .rate_factor = random.uniform(0.5, 2)}));
    check_folded(random, with_random_weights(mssa, random.bits()));
    check_folded(random, with_random_weights(Residual<PreNorm<Mssa<TestType>>>(mssa), random.bits()));
    check_folded(random, with_random_weights(Subtract<PreNorm<Mssa<TestType>>>(mssa), random.bits()));
    const PreNorm<Mssa<TestType>> single(Mssa<TestType>({.dim = dim, .heads = 1, .output = MssaOutput::identity}));
    check_folded(random, with_random_weights(Subtract<PreNorm<Mssa<TestType>>>(single), random.bits()));
  });
}

TEMPLATE_TEST_CASE("a folded ISTA by either rule and threshold is the plain one", "", float, double) {
  for_random_draws(12, [](Random& random) {
    const PreNorm<Ista<TestType>> ista(
        Ista<TestType>(draw_index(random, 2, 70), {.step = random.uniform(0, 0.3),
                                                   .lambda = random.uniform(0, 0.3),
                                                   .threshold = static_cast<Threshold>(random.below(2)),
                                                   .rule = static_cast<SparsifyRule>(random.below(2)),
                                                   .alpha = random.uniform(0.5, 2)}));
    check_folded(random, with_random_weights(ista, random.bits()));
  });
}

TEMPLATE_TEST_CASE("a folded overcomplete ISTA of any number of steps is the plain one", "", float, double) {
  for_random_draws(12, [](Random& random) {
    const PreNorm<OvercompleteIsta<TestType>> ista(OvercompleteIsta<TestType>(
        draw_index(random, 2, 40), draw_index(random, 1, 90), static_cast<Decoding>(random.below(2)),
        {.step = 0.1,
         .lambda = random.uniform(0, 0.3),
         .steps = draw_index(random, 1, 3),
         .threshold = static_cast<Threshold>(random.below(2))}));
    check_folded(random, with_random_weights(ista, random.bits()));
  });
}

TEMPLATE_TEST_CASE("a folded self-attention and a folded MLP of any widths are the plain ones", "", float, double) {
  for_random_draws(12, [](Random& random) {
    const Index heads = draw_index(random, 1, 5), dim = heads * draw_index(random, 1, 20);
    const PreNorm<SelfAttention<TestType>> attention(
        SelfAttention<TestType>({.dim = dim, .heads = heads, .mask = static_cast<AttentionMask>(random.below(2))}));
    check_folded(random, with_random_weights(attention, random.bits()));
    check_folded(random, with_random_weights(Residual<PreNorm<SelfAttention<TestType>>>(attention), random.bits()));
    check_folded(random, with_random_weights(Subtract<PreNorm<SelfAttention<TestType>>>(attention), random.bits()));
    const PreNorm<Mlp<TestType>> mlp(
        Mlp<TestType>(dim, draw_index(random, 1, 99), static_cast<GeluForm>(random.below(2))));
    check_folded(random, with_random_weights(mlp, random.bits()));
    check_folded(random, with_random_weights(Residual<PreNorm<Mlp<TestType>>>(mlp), random.bits()));
    check_folded(random, with_random_weights(Subtract<PreNorm<Mlp<TestType>>>(mlp), random.bits()));
  });
}

TEMPLATE_TEST_CASE("folded stacks of every block are the plain ones", "", float, double) {
  for_random_draws(4, [](Random& random) {
    const auto [dim, tokens, heads, head_dim] = draw_width(random);
    const Index atoms = draw_index(random, 1, 100);
    using S = TestType;
    const auto check = [&](auto stack) { check_folded(random, with_random_weights(stack, random.bits())); };
    check(Encoder<CrateBlock<S>>(3, {.dim = dim, .heads = heads, .head_dim = head_dim}));
    check(Decoder<CrateDecoderBlock<S>>(2, {.dim = dim, .heads = heads, .head_dim = head_dim}));
    check(Encoder<CrateAlphaBlock<S>>(2, {.dim = dim, .heads = heads, .head_dim = head_dim, .atoms = atoms}));
    check(Encoder<OvercompleteBlock<S>>(2, {.dim = dim, .heads = heads, .head_dim = head_dim, .atoms = atoms}));
    check(Encoder<TransformerBlock<S>>(2, {.dim = heads * head_dim, .heads = heads, .hidden = atoms}));
  });
}

TEST_CASE("an encoder block takes three products, a pair with a decoder block six") {
  const Index d = 32, tokens = 9;
  const TokenLayout layout = TokenLayout::single(tokens);
  const double attention = 2.0 * tokens * tokens * d;
  CHECK(fold(CrateBlock<float>({.dim = d, .heads = 4})).multiply_adds(layout) == 3.0 * d * d * tokens + attention);
  CHECK(fold(CrateDecoderBlock<float>({.dim = d, .heads = 4})).multiply_adds(layout) ==
        3.0 * d * d * tokens + attention);
}

TEST_CASE("any number of threads folds a model to the same bits") {
  Random random(6);
  const auto plain = with_random_weights(Encoder<CrateBlock<float>>(5, {.dim = 24, .heads = 4}), 1);
  const TokenSets<float> sets = draw_sets<float>(random, 24);
  Threads threads(3);
  CHECK(forward(fold(plain, &threads), sets).tokens == forward(fold(plain), sets).tokens);
  CHECK(forward(fold<bfloat16>(plain, &threads), sets).tokens == forward(fold<bfloat16>(plain), sets).tokens);
}

TEMPLATE_TEST_CASE("the first tokens alone are those of a full pass", "", CrateBlock<float>, TransformerBlock<float>) {
  Random random(5);
  const auto folded = fold(with_random_weights(Encoder<TestType>(3, {.dim = 24, .heads = 4}), 1));
  const TokenSets<float> sets = draw_sets<float>(random, 24);
  const Matrix<float> all = forward(folded, sets).tokens;
  Matrix<float> firsts(24, sets.layout.sets());
  Threads threads(2);
  Workspace workspace;
  Pass<float> pass(sets.layout, threads, workspace);
  folded.forward_first(sets.tokens, firsts, pass);
  for (Index s = 0; s < sets.layout.sets(); ++s)
    CHECK(relative_error(firsts.col(s), all.col(sets.layout.begin(s))) < tolerance<float>);
}

TEST_CASE("a folded encoder shows its half-steps, which an observer may change") {
  Random random(6);
  const auto plain = with_random_weights(Encoder<CrateBlock<float>>(2, {.dim = 24, .heads = 4}), 1);
  const TokenSets<float> sets = draw_sets<float>(random, 24);
  std::vector<std::string> seen;
  const Observer<float> watch = [&](HalfStep<float> step) {
    if (step.name.ends_with("projection")) return;
    seen.emplace_back(step.name);
    if (step.name == "layers.0.compress") step.activation *= -2;
  };
  const Matrix<float> expected = plain.forward(sets, {.observer = watch}).tokens;
  const std::vector<std::string> names = std::exchange(seen, {});
  CHECK(relative_error(fold(plain).forward(sets, {.observer = watch}).tokens, expected) < tolerance<float>);
  CHECK(seen == names);
  CHECK(names.size() == 4);
}

TEMPLATE_TEST_CASE("what is folded says how much memory it takes, its norm's too", "", float, bfloat16) {
  const Index dim = 4;
  const auto ista = fold<TestType>(with_random_weights(PreNorm<Ista<float>>(Ista<float>(dim)), 1));
  const TokenSets<float> sets(Matrix<float>::Ones(dim, 5000));
  for (const int count : {1, 2}) {
    Threads threads(count);
    Workspace workspace;
    workspace.reserve(ista.workspace_bytes(sets.layout, count));
    const std::size_t reserved = workspace.capacity();
    (void)forward(ista, sets, {.threads = &threads, .workspace = &workspace});
    CHECK(workspace.capacity() == reserved);
  }
  const PreNorm<OvercompleteIsta<float>> overcomplete(OvercompleteIsta<float>(dim, 2 * dim, Decoding::tied));
  const FoldedLinear<TestType> encode{AffineMap(Matrix<double>::Ones(2 * dim, dim))},
      decode{AffineMap(Matrix<double>::Ones(dim, 2 * dim))};
  const auto norm_bytes = 2 * static_cast<std::size_t>(dim) * sizeof(float);
  CHECK(fold<TestType>(overcomplete).bytes_held() == encode.bytes_held() + 2 * decode.bytes_held() + norm_bytes);
}
