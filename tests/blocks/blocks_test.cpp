// SPDX-License-Identifier: MIT
// What blocks are made of: names, formulas, counts, and the equations of the theory.

#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Matchers::ContainsSubstring;

namespace {

template <class L>
std::vector<std::string> parameter_names(const L& layer) {
  std::vector<std::string> names;
  for_each_parameter([&](std::string_view name, ParameterKind, const auto&) { names.emplace_back(name); }, layer);
  return names;
}

}  // namespace

TEST_CASE("a CRATE block holds 3 d^2 + 5 d parameters") {
  for (const Index dim : {384, 576, 768}) {
    const CrateBlock<float> block({.dim = dim, .heads = 6});
    CHECK(parameter_count(block) == 3 * dim * dim + 5 * dim);
  }
}

TEST_CASE("a single head as wide as the tokens has no output map") {
  CHECK(parameter_count(CrateBlock<float>({.dim = 7, .heads = 1})) == 2 * 49 + 4 * 7);
  CHECK(parameter_count(CrateBlock<float>({.dim = 7, .heads = 1, .head_dim = 3})) == 49 + 2 * 21 + 5 * 7);
}

TEST_CASE("the parameters of a block are listed under the names of its parts") {
  const std::vector<std::string> expected{"compress.norm.weight",   "compress.norm.bias",   "compress.subspaces",
                                          "compress.output.weight", "compress.output.bias", "sparsify.norm.weight",
                                          "sparsify.norm.bias",     "sparsify.dictionary"};
  CHECK(parameter_names(CrateBlock<float>({.dim = 6, .heads = 2})) == expected);
  CHECK(parameter_names(StrictBlock<double>({.dim = 6, .heads = 2})) ==
        std::vector<std::string>{"compress.subspaces", "sparsify.dictionary"});
}

TEST_CASE("a block writes its formula as the paper does") {
  CHECK(CrateBlock<float>({.dim = 6, .heads = 2}).formula("Z") == "ISTA(LN(Z + MSSA(LN(Z))))");
  const CrateDecoderBlock<float> mirror({.dim = 6, .heads = 2});
  CHECK(mirror.expand.formula("Z") == "D LN(Z)");
  CHECK(mirror.decompress.formula("Z") == "Z - MSSA(LN(Z))");
  CHECK(mirror.expand.layer.formula("Z + 1") == "D (Z + 1)");
  CHECK(StrictBlock<float>({.dim = 6, .heads = 2}).compress.formula("Z") == "Z - kappa dR^c(Z)");
}

TEST_CASE("a strict block is the compression step followed by the ISTA step") {
  for_random_draws(10, [](Random& random) {
    const Index heads = draw_index(random, 1, 3), p = draw_index(random, 1, 4), dim = draw_index(random, 2, 9);
    for (const auto step : {CompressionStep::exact, CompressionStep::first_order, CompressionStep::softmax,
                            CompressionStep::rate_reduction, CompressionStep::soft_partition}) {
      const CompressionOptions compression{.kappa = 0.3, .epsilon = 0.7, .step = step};
      const IstaOptions ista_options{.step = 0.2, .lambda = 0.05, .threshold = Threshold::soft};
      StrictBlock<double> block(
          {.dim = dim, .heads = heads, .head_dim = p, .compression = compression, .ista = ista_options});
      initialise(block, random.bits());
      const Matrix<double> z = draw_normal(random, dim, draw_index(random, 1, 12));
      const Matrix<double> expected =
          ista(compress(z, block.compress.subspaces, compression), block.sparsify.dictionary, ista_options);
      CHECK(relative_error(block.forward(z), expected) < rounding<double>);
    }
  });
}

TEST_CASE("the strict decoder climbs R^c where the encoder descends it") {
  Random random(5);
  StrictDecoderBlock<double> block({.dim = 6, .heads = 2, .compression = {.kappa = 0.2}});
  initialise(block, 1);
  const Matrix<double> z = draw_normal(random, 6, 9), expanded = block.expand.dictionary * z;
  const Matrix<double> gradient =
      subspace_coding_rate_gradient(expanded, block.decompress.subspaces, {.epsilon = 0.5}).tokens;
  CHECK(relative_error(block.forward(z), expanded + 0.2 * gradient) < rounding<double>);
}

TEST_CASE("the practical block with tied output, no norm and no step is the theory's eq. (18) with D = 0") {
  Random random(6);
  Mssa<double> attention({.dim = 6, .heads = 2, .output = MssaOutput::tied, .scale_logits = false, .rate_factor = 0.3});
  initialise(attention, 3);
  const Residual<Mssa<double>> compress(std::move(attention));
  const Matrix<double> z = draw_normal(random, 6, 5);
  CHECK(relative_error(forward(compress, z), z + mssa(z, compress.branch.subspaces, {.rate_factor = 0.3})) <
        rounding<double>);
}

TEST_CASE("options that make no block are refused by name") {
  CHECK_THAT(message_of<OptionError>([] { CrateBlock<float>({.dim = 8}); }), ContainsSubstring("heads >= 1, found 0"));
  CHECK_THAT(message_of<OptionError>([] { CrateBlock<float>({.heads = 2}); }), ContainsSubstring("dim >= 1, found 0"));
  CHECK_THAT(message_of<OptionError>([] { CrateBlock<float>({.dim = 8, .heads = 3}); }),
             ContainsSubstring("heads that divide dim = 8, found 3"));
  CHECK_THAT(message_of<OptionError>([] { CrateBlock<float>({.dim = 8, .heads = 2, .step = -1}); }),
             ContainsSubstring("step >= 0, found -1"));
  CHECK_THAT(message_of<OptionError>([] { CrateAlphaBlock<float>({.dim = 8, .heads = 2, .atoms = -3}); }),
             ContainsSubstring("atoms >= 1, found -3"));
  CHECK_THAT(message_of<OptionError>([] { StrictBlock<float>({.dim = 8, .heads = 2, .compression = {.epsilon = 0}}); }),
             ContainsSubstring("epsilon > 0, found 0"));
}

TEST_CASE("a block is used and trained as the comments of CrateBlock and of recordings say") {
  Random random(2);
  const Matrix<float> tokens = draw_normal(random, 12, 5).cast<float>();
  CrateBlock<float> block({.dim = 12, .heads = 3});
  CHECK(block.sparsify.layer.dictionary.isZero(0));
  initialise(block, 1);
  const Matrix<float> next = block.forward(tokens);
  const auto& U = block.compress.branch.layer.subspaces.bases();
  const auto& D = block.sparsify.layer.dictionary;
  CHECK((U.rows() == 12 && U.cols() == 12 && D.rows() == 12 && D.cols() == 12));
  CHECK(relative_error(fold(block).forward(tokens), next) < 1e-5);

  const TokenSets<float> sets(tokens);
  Recording<CrateBlock<float>> recording;
  auto gradient = zeros_like(block);
  const auto out = forward(block, sets, recording);
  CHECK(relative_error(out.tokens, next) < 1e-5);
  const auto by_tokens = backward(block, out.tokens, recording, gradient);
  CHECK((by_tokens.rows() == 12 && by_tokens.cols() == 5));
  CHECK(!gradient.sparsify.layer.dictionary.isZero(0));
}
