// SPDX-License-Identifier: MIT
// Layers against the operators they call, and what combinators make of them.

#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

static_assert(Layer<Linear<float>> && Layer<LayerNorm<double>> && Layer<Mssa<float>> && Layer<Ista<double>>);
static_assert(Layer<OvercompleteIsta<float>> && Layer<Dictionary<float>> && Layer<Compression<double>>);
static_assert(Layer<PreNorm<Ista<float>>> && Layer<Residual<PreNorm<Mssa<float>>>> && Layer<Subtract<Mssa<float>>>);
static_assert(Layer<CrateBlock<float>> && Layer<Encoder<CrateBlock<float>>>);
static_assert(!Layer<Matrix<float>> && !Layer<Subspaces<Matrix<float>>> && !Layer<int>);

namespace {

/// A layer of a user's own: it needs nothing but these functions.
struct Doubling {
  using Scalar = double;
  Index dim = 0;

  static constexpr auto parts() { return std::tuple{}; }
  [[nodiscard]] Index input_dim() const { return dim; }
  [[nodiscard]] Index output_dim() const { return dim; }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "2 " + argument; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }
  void forward(ConstTokens<double> z, Tokens<double> out, Pass<double>&) const { out = 2 * z; }
};

struct Quadrupling : Chain<Quadrupling, double> {
  Doubling first{3}, second{3};
  static constexpr auto parts() {
    return std::tuple{part("first", &Quadrupling::first), part("second", &Quadrupling::second)};
  }
};

template <class L>
L initialised(L layer, std::uint64_t seed) {
  initialise(layer, seed);
  return layer;
}

}  // namespace

TEST_CASE("a layer computes what its operator computes") {
  Random random(1);
  const Matrix<double> z = draw_normal(random, 12, 9);

  const auto norm = LayerNorm<double>(12, {.epsilon = 0.1});
  CHECK(relative_error(forward(norm, z), layer_norm(z, norm.weight, norm.bias, {.epsilon = 0.1})) < rounding<double>);

  const auto step = initialised(Ista<double>(12, {.step = 0.3, .lambda = 0.2}), 2);
  CHECK(relative_error(forward(step, z), ista(z, step.dictionary, step.options)) < rounding<double>);

  const auto codes = initialised(OvercompleteIsta<double>(12, 20, Decoding::decoupled, {.steps = 3}), 3);
  CHECK(relative_error(forward(codes, z), codes.decoding * sparse_code(z, codes.dictionary, {.steps = 3})) <
        rounding<double>);
  const auto tied = initialised(OvercompleteIsta<double>(12, 20, Decoding::tied), 3);
  CHECK(relative_error(forward(tied, z), tied.dictionary * sparse_code(z, tied.dictionary)) < rounding<double>);

  const auto attention = initialised(Mssa<double>({.dim = 12, .heads = 3, .mask = AttentionMask::causal}), 4);
  CHECK(relative_error(forward(attention, z),
                       mssa(z, attention.subspaces, attention.output->weight, attention.output->bias,
                            {.mask = AttentionMask::causal, .logit_scale = 0.5})) < rounding<double>);

  const auto map = initialised(Linear<double>(12, 5), 5);
  CHECK(relative_error(forward(map, z), (map.weight * z).colwise() + map.bias) < rounding<double>);
}

TEST_CASE("an MSSA layer without an output map is the heads themselves") {
  Random random(2);
  const auto attention = initialised(Mssa<double>({.dim = 6, .heads = 1, .output = MssaOutput::identity}), 1);
  const Matrix<double> z = draw_normal(random, 6, 4);
  CHECK(relative_error(forward(attention, z), ssa(z, attention.subspaces.basis(0), attention.attention)) <
        rounding<double>);
}

TEST_CASE("PreNorm, Residual and Subtract are layer(LN(Z)), Z + layer(Z) and Z - layer(Z)") {
  Random random(3);
  const Matrix<double> z = draw_normal(random, 7, 70);
  const auto step = initialised(Ista<double>(7), 1);
  const PreNorm normed(step);
  CHECK(relative_error(forward(normed, z), forward(step, forward(normed.norm, z))) < rounding<double>);
  CHECK(relative_error(forward(Residual<Ista<double>>(step), z), z + forward(step, z)) < rounding<double>);
  CHECK(relative_error(forward(Subtract<Ista<double>>(step), z), z - forward(step, z)) < rounding<double>);
  CHECK(Residual<PreNorm<Ista<double>>>(PreNorm(step)).formula("X") == "X + ISTA(LN(X))");
  CHECK(Subtract<Linear<double>>(Linear<double>(7, 7)).formula("X") == "X - (W X + b)");
  CHECK(fold(Subtract<PreNorm<Mssa<double>>>(PreNorm(Mssa<double>({.dim = 7, .heads = 1}))))
            .formula("X")
            .starts_with("X - MSSA"));
}

TEST_CASE("a layer of the user's own chains, is named and observed like ours") {
  const Matrix<double> z = Matrix<double>::Ones(3, 2);
  std::vector<std::string> seen;
  const Matrix<double> result =
      Quadrupling().forward(z, {.observer = [&](HalfStep<double> step) { seen.emplace_back(step.name); }});
  CHECK(result == 4 * z);
  CHECK(seen == std::vector<std::string>{"first", "second"});
  CHECK(Quadrupling().formula("Z") == "2 2 Z");
}

TEST_CASE("a step on the rate reduction counts the multiply-adds of the smaller Gram matrix of each set") {
  const Subspaces<Matrix<double>> subspaces(Matrix<double>::Zero(8, 8), 2);
  const Compression<double> plain(subspaces, {.step = CompressionStep::rate_reduction}),
      partition(subspaces, {.step = CompressionStep::soft_partition});
  const TokenLayout layout({5, 20});
  const double projection = 8 * 8 * 25, heads = 2 * 8 * 4 * 25, whole = 2 * (8 * 5 * 5 + 8 * 8 * 20);
  CHECK(plain.multiply_adds(layout) == 2 * projection + heads + whole);
  CHECK(partition.multiply_adds(layout) == projection + 3 * whole);
}

TEST_CASE("token sets side by side give what each gives alone") {
  for_random_draws(8, [](Random& random) {
    std::vector<Index> lengths, visible;
    for (Index s = draw_index(random, 1, 5); s > 0; --s) {
      lengths.push_back(draw_index(random, 1, 150));  // longer than a block of queries, too
      visible.push_back(draw_index(random, 1, lengths.back()));
    }
    const TokenLayout plain(lengths), padded = plain.with_visible(visible);
    const TokenSets<double> sets(draw_normal(random, 6, plain.tokens()), plain);
    const auto attention = initialised(Mssa<double>({.dim = 6, .heads = 2, .output = MssaOutput::tied}), random.bits());
    auto compression = Compression<double>(attention.subspaces, {.kappa = 0.3});
    for (const auto step : {CompressionStep::exact, CompressionStep::first_order, CompressionStep::softmax,
                            CompressionStep::rate_reduction, CompressionStep::soft_partition}) {
      compression.options.step = step;
      const Matrix<double> compressed = forward(compression, sets).tokens;
      const Matrix<double> beside_padding = forward(compression, TokenSets<double>(sets.tokens, padded)).tokens;
      for (Index s = 0; s < plain.sets(); ++s) {
        const Index hidden = padded.length(s) - padded.visible(s);
        CHECK(relative_error(beside_padding.middleCols(padded.begin(s), padded.visible(s)),
                             compress(sets.tokens.middleCols(padded.begin(s), padded.visible(s)), attention.subspaces,
                                      compression.options)) < rounding<double>);
        CHECK(beside_padding.middleCols(padded.begin(s) + padded.visible(s), hidden) ==
              sets.tokens.middleCols(padded.begin(s) + padded.visible(s), hidden));
        CHECK(relative_error(compressed.middleCols(plain.begin(s), plain.length(s)),
                             compress(sets.tokens.middleCols(plain.begin(s), plain.length(s)), attention.subspaces,
                                      compression.options)) < rounding<double>);
      }
    }
    const Matrix<double> attended = forward(attention, TokenSets<double>(sets.tokens, padded)).tokens;
    for (Index s = 0; s < plain.sets(); ++s) {
      AttentionOptions options = attention.attention;
      options.visible = padded.visible(s);
      CHECK(relative_error(attended.middleCols(plain.begin(s), plain.length(s)),
                           mssa(sets.tokens.middleCols(plain.begin(s), plain.length(s)), attention.subspaces,
                                options)) < rounding<double>);
    }
  });
}

TEST_CASE("tokens of another dimension, and parameters that were spoilt, are refused with both sizes") {
  const Matrix<float> z = Matrix<float>::Zero(5, 3);
  CHECK_THAT(message_of<ShapeError>([&] { (void)CrateBlock<float>({.dim = 6, .heads = 2}).forward(z); }),
             ContainsSubstring("rows: expected 6, found 5"));
  CrateBlock<float> spoilt({.dim = 5, .heads = 1});
  spoilt.sparsify.layer.dictionary.resize(4, 5);
  CHECK_THAT(message_of<ShapeError>([&] { (void)spoilt.forward(z); }),
             ContainsSubstring("dictionary: expected 5 x 5, found 4 x 5"));
  CHECK_THAT(message_of<ShapeError>([] { (void)TokenSets<float>(Matrix<float>(2, 5), TokenLayout::equal(2, 3)); }),
             ContainsSubstring("columns: expected 6, found 5"));
}

TEST_CASE("MSSA that lost its free output map is refused, and not tied in silence") {
  Mssa<double> mssa({.dim = 4, .heads = 2});
  mssa.output.reset();
  CHECK(message_of<ShapeError>([&] { (void)forward(mssa, Matrix<double>(Matrix<double>::Ones(4, 3))); }) ==
        "MSSA: expected a free output map, found none");
}

TEST_CASE("an output that lies where the tokens do is refused, rows of one matrix apart are not") {
  const auto layer = initialised(Linear<double>(3, 3), 1);
  Random random(4);
  Matrix<double> both = draw_normal(random, 6, 8);
  const TokenLayout layout = TokenLayout::single(8);
  const auto refusal = [&](auto&& tokens, auto&& out) {
    return message_of<OptionError>([&] { forward(layer, tokens, layout, out); });
  };
  const std::string expected = "output: expected memory apart from that of the tokens, found theirs";
  CHECK(refusal(both.topRows(3), both.topRows(3)) == expected);
  CHECK(refusal(both.topRows(3), both.middleRows(2, 3)) == expected);
  CHECK(refusal(both.middleRows(2, 3), both.topRows(3)) == expected);
  Matrix<double> column = draw_normal(random, 3, 12);
  CHECK(refusal(column.leftCols(8), column.rightCols(8)) == expected);
  const Matrix<double> alone = forward(layer, Matrix<double>(both.topRows(3)));
  CHECK(refusal(both.topRows(3), both.bottomRows(3)) == "threw nothing");
  CHECK(both.bottomRows(3) == alone);
  CHECK(refusal(both.bottomRows(3), both.topRows(3)) == "threw nothing");
}
