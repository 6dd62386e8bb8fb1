// SPDX-License-Identifier: MIT
// Backward passes of all layers and combinators against central differences in double.

#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/testing/backward.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using crate::testing::check_backward;

static_assert(TrainableLayer<Linear<float>> && TrainableLayer<LayerNorm<double>> && TrainableLayer<Dictionary<float>>);
static_assert(TrainableLayer<Mssa<float>> && TrainableLayer<Ista<double>> && TrainableLayer<OvercompleteIsta<float>>);
static_assert(TrainableLayer<Compression<double>> && TrainableLayer<Encoder<CrateBlock<float>>>);
static_assert(TrainableLayer<SelfAttention<float>> && TrainableLayer<Gelu<double>> && TrainableLayer<Mlp<float>>);
static_assert(!TrainableLayer<Matrix<float>>);

namespace {

/// Everything random, norms and biases too.
template <class L>
L random_layer(L layer, std::uint64_t seed = 1) {
  Random random(seed);
  const double scale = 0.5;
  for_each_parameter(
      [&](std::string_view, ParameterKind, auto& parameter) {
        random.fill_normal(parameter);
        parameter *= scale;
      },
      layer);
  return layer;
}

/// Three sets of unequal lengths, one of them padded.
TokenSets<double> random_sets(Index dim, std::uint64_t seed = 7) {
  Random random(seed);
  return {draw_normal(random, dim, 14), TokenLayout({5, 1, 8}).with_visible({5, 1, 6})};
}

template <class L>
void check_layer(const L& layer, const Run<double>& run = {}) {
  const auto sets = random_sets(layer.input_dim());
  const auto finding = check_backward(layer, sets, {.step = 1e-5, .tolerance = 1e-7}, run);
  INFO(finding.report);
  CHECK(finding);
}

}  // namespace

TEST_CASE("backward of a linear map, a layer norm and a dictionary") {
  check_layer(random_layer(Linear<double>(5, 3)));
  check_layer(random_layer(Linear<double>(5, 3, false)));
  check_layer(random_layer(LayerNorm<double>(7, {.epsilon = 0.1})));
  check_layer(random_layer(Dictionary<double>(6)));
}

TEST_CASE("backward of ISTA by either rule and threshold") {
  for (const Threshold threshold : {Threshold::non_negative, Threshold::soft}) {
    check_layer(random_layer(Ista<double>(7, {.step = 0.3, .lambda = 0.4, .threshold = threshold})));
    check_layer(random_layer(Ista<double>(
        7, {.lambda = 0.2, .threshold = threshold, .rule = SparsifyRule::majorisation_minimisation, .alpha = 0.7})));
  }
}

TEST_CASE("backward of overcomplete ISTA, tied and decoupled, of one to four steps") {
  for (const Index steps : {1, 2, 4})
    for (const Decoding decoding : {Decoding::tied, Decoding::decoupled})
      for (const Threshold threshold : {Threshold::non_negative, Threshold::soft})
        check_layer(random_layer(
            OvercompleteIsta<double>(5, 11, decoding, {.step = 0.2, .steps = steps, .threshold = threshold})));
}

TEST_CASE("backward of MSSA: every output, masked or not, several and single heads") {
  for (const AttentionMask mask : {AttentionMask::none, AttentionMask::causal}) {
    for (const MssaOutput output : {MssaOutput::free, MssaOutput::tied, MssaOutput::identity})
      check_layer(
          random_layer(Mssa<double>({.dim = 6, .heads = 3, .output = output, .mask = mask, .rate_factor = 1.7})));
    check_layer(random_layer(Mssa<double>({.dim = 5, .heads = 2, .head_dim = 4, .output_bias = false, .mask = mask})));
    check_layer(random_layer(Mssa<double>({.dim = 5, .heads = 1, .scale_logits = false, .mask = mask})));
  }
}

TEST_CASE("backward of MSSA on more tokens than a block of queries") {
  Random random(3);
  const Index tokens = detail::query_block + 5;
  for (const AttentionMask mask : {AttentionMask::none, AttentionMask::causal}) {
    const auto layer = random_layer(Mssa<double>({.dim = 2, .heads = 1, .mask = mask}));
    const auto finding =
        check_backward(layer, TokenSets<double>(draw_normal(random, 2, tokens)), {.step = 1e-5, .tolerance = 1e-6});
    INFO(finding.report);
    CHECK(finding);
  }
}

TEST_CASE("backward of self-attention, masked or not, of one block of queries and of more") {
  for (const AttentionMask mask : {AttentionMask::none, AttentionMask::causal}) {
    check_layer(random_layer(SelfAttention<double>({.dim = 6, .heads = 3, .mask = mask})));
    check_layer(random_layer(SelfAttention<double>({.dim = 5, .heads = 1, .mask = mask})));
    Random random(3);
    const auto layer = random_layer(SelfAttention<double>({.dim = 2, .heads = 1, .mask = mask}));
    const auto finding = check_backward(layer, TokenSets<double>(draw_normal(random, 2, detail::query_block + 5)),
                                        {.step = 1e-5, .tolerance = 1e-6});
    INFO(finding.report);
    CHECK(finding);
  }
}

TEST_CASE("backward of GELU and of an MLP with it, in either form") {
  for (const GeluForm form : {GeluForm::exact, GeluForm::tanh}) {
    check_layer(Gelu<double>{7, form});
    check_layer(random_layer(Mlp<double>(5, 11, form)));
  }
}

TEST_CASE("backward of compression: exact, first order and softmax, up and down") {
  Random random(5);
  for (const CompressionStep step : {CompressionStep::exact, CompressionStep::first_order, CompressionStep::softmax,
                                     CompressionStep::rate_reduction, CompressionStep::soft_partition})
    for (const double kappa : {0.3, -0.3})
      for (const Index p : {1, 3, 9})  // less and more dimensions than tokens
        check_layer(Compression<double>(
            Subspaces<Matrix<double>>(0.5 * draw_normal(random, 6, 2 * p), 2),
            {.kappa = kappa, .epsilon = 0.8, .step = step, .logit_scale = 0.7, .mssa_factor = 1.3}));
}

TEST_CASE("backward of combinators and blocks") {
  check_layer(random_layer(PreNorm<Ista<double>>(Ista<double>(6))));
  check_layer(random_layer(Residual<Ista<double>>(Ista<double>(6))));
  check_layer(random_layer(Subtract<Mssa<double>>(Mssa<double>({.dim = 6, .heads = 2}))));
  check_layer(random_layer(CrateBlock<double>({.dim = 6, .heads = 3})));
  check_layer(random_layer(CrateDecoderBlock<double>({.dim = 6, .heads = 3})));
  check_layer(random_layer(CrateAlphaBlock<double>({.dim = 6, .heads = 2, .atoms = 9})));
  check_layer(random_layer(OvercompleteBlock<double>({.dim = 6, .heads = 2, .atoms = 9})));
  check_layer(random_layer(StrictBlock<double>({.dim = 6, .heads = 2})));
  check_layer(random_layer(StrictDecoderBlock<double>({.dim = 6, .heads = 2})));
  check_layer(random_layer(TransformerBlock<double>({.dim = 6, .heads = 2, .hidden = 7})));
  check_layer(random_layer(Encoder<CrateBlock<double>>(3, {.dim = 6, .heads = 2})));
}

TEST_CASE("recomputing a block's activations changes no gradient, with dropout or without") {
  for (const double dropout : {0.0, 0.3}) {
    const auto block = random_layer(CrateBlock<double>({.dim = 6, .heads = 3, .dropout = dropout}));
    const Recompute recomputed(block);
    const auto sets = random_sets(6);
    const Run<double> run{.dropout = {.seed = 3, .step = 11}};
    Recording<CrateBlock<double>> recording;
    Recording<Recompute<CrateBlock<double>>> short_recording;
    const Matrix<double> out = forward(block, sets, recording, run).tokens;
    CHECK(forward(recomputed, sets, short_recording, run).tokens == out);
    auto gradient = zeros_like(block);
    auto recomputed_gradient = zeros_like(recomputed);
    CHECK(backward(recomputed, out, short_recording, recomputed_gradient) == backward(block, out, recording, gradient));
    for_each_parameter(
        [](std::string_view, ParameterKind, const auto& expected, const auto& found) { CHECK(expected == found); },
        gradient, recomputed_gradient.layer);
  }
}

TEST_CASE("recomputing keeps less") {
  const Encoder<CrateBlock<double>> blocks(12, {.dim = 16, .heads = 2});
  struct RecomputedBlocks : Chain<RecomputedBlocks, double> {
    std::vector<Recompute<CrateBlock<double>>> layers;
    static constexpr auto parts() { return std::tuple{part("layers", &RecomputedBlocks::layers)}; }
  } recomputed;
  for (const auto& block : blocks.layers) recomputed.layers.emplace_back(block);
  Random random(1);
  const TokenSets<double> sets(draw_normal(random, 16, 40));
  Recording<Encoder<CrateBlock<double>>> all;
  Recording<RecomputedBlocks> few;
  const auto out = forward(blocks, sets, all);
  CHECK(forward(recomputed, sets, few).tokens == out.tokens);
  CHECK(2 * few.memory.capacity() < all.memory.capacity());
}

TEST_CASE("a matrix is recorded as one token set") {
  const CrateBlock<double> block = random_layer(CrateBlock<double>({.dim = 6, .heads = 2}));
  const TokenSets<double> set(random_sets(6).tokens);
  const Matrix<double> tokens = set.tokens, cotangent = 2 * tokens;
  Recording<CrateBlock<double>> of_set, of_matrix;
  CHECK(forward(block, tokens, of_matrix) == forward(block, set, of_set).tokens);
  CrateBlock<double> gradient = zeros_like(block), expected = zeros_like(block);
  CHECK(backward(block, cotangent, of_matrix, gradient) == backward(block, cotangent, of_set, expected));
  CHECK(gradient.sparsify.layer.dictionary == expected.sparsify.layer.dictionary);
  const Matrix<double> narrow(5, 3);
  CHECK(message_of<ShapeError>([&] { (void)forward(block, narrow, of_matrix); }) ==
        "tokens: rows: expected 6, found 5");
}

TEST_CASE("a recorded pass computes the same as one that is not") {
  const auto sets = random_sets(6);
  const auto same = [&](const auto& layer) {
    Recording<std::remove_cvref_t<decltype(layer)>> recording;
    CHECK(forward(layer, sets, recording).tokens == forward(layer, sets).tokens);
  };
  same(random_layer(CrateBlock<double>({.dim = 6, .heads = 3})));
  same(random_layer(CrateDecoderBlock<double>({.dim = 6, .heads = 3})));
  same(random_layer(CrateAlphaBlock<double>({.dim = 6, .heads = 2, .atoms = 9})));
  same(random_layer(StrictBlock<double>({.dim = 6, .heads = 2})));
  same(random_layer(TransformerBlock<double>({.dim = 6, .heads = 2})));
}

TEMPLATE_TEST_CASE("threads change no bit of a backward pass", "", CrateBlock<double>, TransformerBlock<double>) {
  const auto block = random_layer(TestType({.dim = 24, .heads = 3, .dropout = 0.1}));
  Random random(1);
  const TokenSets<double> sets(draw_normal(random, 24, 300), TokenLayout({150, 50, 100}));
  std::vector<Matrix<double>> results;
  std::vector<TestType> gradients;
  for (const int count : {1, 2, 4}) {
    Threads threads(count);
    const Run<double> run{.threads = &threads, .dropout = {.seed = 1}};
    Recording<TestType> recording;
    const Matrix<double> out = forward(block, sets, recording, run).tokens;
    gradients.push_back(zeros_like(block));
    results.push_back(backward(block, out, recording, gradients.back(), run));
  }
  for (std::size_t i = 1; i < results.size(); ++i) {
    CHECK(results[i] == results[0]);
    for_each_parameter(
        [](std::string_view, ParameterKind, const auto& expected, const auto& found) { CHECK(expected == found); },
        gradients[0], gradients[i]);
  }
}

TEST_CASE("backward with dropout is the gradient of what was not dropped") {
  const Run<double> run{.dropout = {.seed = 5, .step = 2}};
  check_layer(random_layer(Mssa<double>({.dim = 6, .heads = 3, .dropout = 0.4})), run);
  check_layer(random_layer(Mssa<double>({.dim = 6, .heads = 3, .mask = AttentionMask::causal, .dropout = 0.4})), run);
  check_layer(random_layer(Mssa<double>({.dim = 6, .heads = 1, .output = MssaOutput::identity, .dropout = 0.4})), run);
  check_layer(random_layer(SelfAttention<double>({.dim = 6, .heads = 3, .dropout = 0.4})), run);
}

TEST_CASE("dropout depends on seed, step and set, not on how sets are batched") {
  const auto layer = random_layer(Mssa<double>({.dim = 6, .heads = 3, .dropout = 0.4}));
  Random random(9);
  const Matrix<double> tokens = draw_normal(random, 6, 10);
  const TokenSets<double> both(tokens, TokenLayout::equal(2, 5)), second(tokens.rightCols(5));
  const auto recorded = [&](const TokenSets<double>& sets, const DropoutStream& stream) {
    Recording<Mssa<double>> recording;
    return forward(layer, sets, recording, {.dropout = stream}).tokens;
  };
  const Matrix<double> together = recorded(both, {.seed = 1, .step = 4});
  const Matrix<double> alone = recorded(second, {.seed = 1, .step = 4, .first_set = 1});
  CHECK(relative_error(alone, together.rightCols(5)) < rounding<double>);
  CHECK(relative_error(recorded(second, {.seed = 1, .step = 4}), together.rightCols(5)) > 0.1);
  CHECK(recorded(both, {.seed = 2, .step = 4}) != together);
  CHECK(recorded(both, {.seed = 1, .step = 5}) != together);
}

TEST_CASE("backward refuses a cotangent of another size and a recording of nothing") {
  const Ista<double> layer(4);
  auto gradient = zeros_like(layer);
  Recording<Ista<double>> recording;
  CHECK(message_of<Error>([&] { backward(layer, Matrix<double>(4, 3), recording, gradient); }) ==
        "backward: expected a recorded forward pass, found none");
  const TokenSets<double> sets(Matrix<double>::Zero(4, 2));
  static_cast<void>(forward(layer, sets, recording));
  CHECK(message_of<ShapeError>([&] { backward(layer, Matrix<double>(4, 3), recording, gradient); }) ==
        "backward: cotangent: expected 4 x 2, found 4 x 3");
}

TEST_CASE("backward of a layer on directions, which turns tokens and keeps their lengths") {
  Random random(3);
  const Subspaces<Matrix<double>> subspaces(draw_normal(random, 6, 4), 2);
  for (const auto step : {CompressionStep::exact, CompressionStep::rate_reduction, CompressionStep::soft_partition}) {
    const Compression<double> compression(subspaces, {.kappa = 0.3, .step = step, .logit_scale = 2});
    const OnDirections<Compression<double>> on_directions(compression, {.softening = 0.4});
    check_layer(on_directions);
    const auto sets = random_sets(6);
    const auto lengths = [](const auto& tokens) { return tokens.colwise().norm().eval(); };
    CHECK(lengths(forward(on_directions, sets).tokens).isApprox(lengths(sets.tokens), 1e-14));
  }
}

TEST_CASE("backward of the inverse of a layer, and enough turns of it invert the layer") {
  Random random(3);
  const Subspaces<Matrix<double>> subspaces(draw_normal(random, 6, 4), 2);
  const Compression<double> compression(subspaces,
                                        {.kappa = 0.2, .step = CompressionStep::soft_partition, .logit_scale = 2});
  const OnDirections<Compression<double>> layer(compression, {.softening = 0.4});
  for (const Index iterations : {1, 3}) check_layer(Inverse(layer, {.iterations = iterations}));

  const auto sets = random_sets(6);
  const auto after = forward(layer, sets);
  CHECK_FALSE(after.tokens.isApprox(sets.tokens, 1e-3));
  CHECK(forward(Inverse(layer, {.iterations = 60}), after).tokens.isApprox(sets.tokens, 1e-12));
}

TEST_CASE("one turn of the inverse of a compression step is its mirror, the step with the opposite kappa") {
  Random random(3);
  const Subspaces<Matrix<double>> subspaces(draw_normal(random, 6, 4), 2);
  const Compression<double> step(subspaces, {.kappa = 0.2}), mirror(subspaces, {.kappa = -0.2});
  const auto sets = random_sets(6);
  CHECK(forward(Inverse(step), sets).tokens.isApprox(forward(mirror, sets).tokens, 1e-14));
}

TEST_CASE("a token of zeros has no direction and stays") {
  Random random(3);
  const OnDirections<Compression<double>> layer(
      Compression<double>(Subspaces<Matrix<double>>(draw_normal(random, 6, 4), 2)));
  Matrix<double> tokens = draw_normal(random, 6, 5);
  tokens.col(2).setZero();
  const Matrix<double> out = forward(layer, tokens);
  CHECK(out.allFinite());
  CHECK(out.col(2).isZero(0));
}

TEST_CASE("backward refuses a gradient and a recording of another structure") {
  const auto encoder = [](Index depth, Index dim, bool output_bias = true) {
    return random_layer(Encoder<CrateBlock<double>>(depth, {.dim = dim, .heads = 2, .output_bias = output_bias}));
  };
  using Model = Encoder<CrateBlock<double>>;
  const Model model = encoder(2, 4);
  const TokenSets<double> sets = random_sets(4);
  Recording<Model> recording;
  const Matrix<double> cotangent = forward(model, sets, recording).tokens;
  const auto refusal = [&](const Model& layer, Model gradient) {
    return message_of<ShapeError>([&] { backward(layer, cotangent, recording, gradient); });
  };
  CHECK(refusal(model, encoder(2, 6)) == "layers.0.compress.norm.weight: expected 4 x 1, found 6 x 1");
  CHECK(refusal(model, encoder(1, 4)) ==
        "parameters side by side: expected 'layers.1.compress.norm.weight', found no more");
  CHECK(refusal(model, encoder(2, 4, false)) ==
        "parameters side by side: expected 'layers.0.compress.output.bias', found 'layers.0.sparsify.norm.weight'");
  Model without_output = model;
  without_output.layers[0].compress.branch.layer.output.reset();
  CHECK(refusal(model, without_output) != "threw nothing");
  CHECK(refusal(encoder(3, 4), encoder(3, 4)) ==
        "backward: expected the layer that was recorded, found one of other layers or sizes");
  CHECK(refusal(model, model) == "threw nothing");
}

TEST_CASE("backward of tokens at length 1, and of those that are too short for it") {
  check_layer(UnitLength<double>{5});
  const UnitLength<double> layer{2};
  const TokenSets<double> shorter(Matrix<double>{{3e-13}, {-2e-13}});
  const Matrix<double> cotangent{{2}, {5}};
  Recording<UnitLength<double>> recording;
  (void)forward(layer, shorter, recording);
  auto gradient = layer;
  CHECK(relative_error(backward(layer, cotangent, recording, gradient), 1e12 * cotangent) < rounding<double>);
}

TEST_CASE("directions of tokens whose squares overflow are those of shorter ones") {
  const Matrix<float> z{{3e25F, 3}, {4e25F, 4}};
  const Matrix<float> unit = forward(UnitLength<float>{2}, z);
  CHECK(relative_error(unit.col(0), unit.col(1)) < 1e-6);
  OnDirections turned(Linear<float>(2, 2));
  turned.layer.weight << 0, -1, 1, 0;
  const Matrix<float> out = forward(turned, z);
  CHECK(relative_error(out.col(0) / 1e25F, out.col(1)) < 1e-6);
}

TEST_CASE("a probability of dropping that is none is refused when a pass draws by it") {
  const TokenSets<double> sets = random_sets(4);
  const auto recorded = [&](const auto& layer) {
    Recording<std::decay_t<decltype(layer)>> recording;
    return message_of<OptionError>([&] { (void)forward(layer, sets, recording); });
  };
  for (const double wrong : {1.0, -0.5, std::numeric_limits<double>::quiet_NaN()}) {
    Residual<Linear<double>> residual(Linear<double>(4, 4));
    residual.drop_path = wrong;
    CHECK_THAT(recorded(residual), Catch::Matchers::StartsWith("option: expected dropout in [0, 1), found "));
    Mssa<double> mssa({.dim = 4, .heads = 2, .output = MssaOutput::tied});
    mssa.dropout = wrong;
    CHECK_THAT(recorded(mssa), Catch::Matchers::StartsWith("option: expected dropout in [0, 1), found "));
    Dropout<double> dropout(4);
    dropout.dropout = wrong;
    CHECK_THAT(recorded(dropout), Catch::Matchers::StartsWith("option: expected dropout in [0, 1), found "));
  }
}
