// SPDX-License-Identifier: MIT
// Models of text: what they make of ids, their gradients, and what is folded from them.

#include <cmath>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/testing/backward.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

template <class Model, class Options>
Model started(const Options& options, std::uint64_t seed = 1) {
  Model model(options);
  initialise(model, seed);
  for_each_parameter(  // so that no part is too small to matter
      [&](std::string_view, ParameterKind, auto& parameter) {
        Random random(seed);
        auto noise = parameter;
        random.fill_normal(noise);
        parameter += typename Model::Scalar(0.3) * noise;
      },
      model);
  return model;
}

template <class Options>
auto small_model(Options options) {
  options.vocabulary = 7;
  options.context = 6;
  options.depth = 2;
  options.block.dim = 4;
  options.block.heads = 2;
  return options;
}

template <class Block>
LanguageModel<Block> small_language_model(bool final_norm = true) {
  auto options = small_model(LanguageModelOptions<typename Block::Options>{});
  options.final_norm = final_norm;
  return started<LanguageModel<Block>>(options);
}

template <class Block>
MaskedLanguageModelOptions<typename Block::Options> small_masked_options(bool tied) {
  MaskedLanguageModelOptions<typename Block::Options> options;
  options.text = small_model(options.text);
  options.tied = tied;
  return options;
}

template <class Model, class Input>
void check_gradient_of(const Model& model, const Input& input, const Run<double>& run = {}) {
  const auto finding = crate::testing::check_backward(model, input, {.step = 1e-5, .tolerance = 1e-7}, run);
  INFO(finding.report);
  CHECK(finding);
}

const std::vector<Index> nine_ids{3, 1, 1, 6, 0, 2, 3, 5, 4}, nine_types{0, 1, 1, 0, 0, 0, 1, 0, 1};

/// Sets of unequal length, the last two tokens of the second being padding.
TokenLayout unequal_sets() { return TokenLayout({2, 6, 1}).with_visible({2, 4, 1}); }

}  // namespace

TEST_CASE("language models of every block go backward, on sets of unequal length") {
  const TokenIds ids(nine_ids, TokenLayout({2, 6, 1}));
  check_gradient_of(small_language_model<CrateBlock<double>>(false), ids);
  check_gradient_of(small_language_model<OvercompleteBlock<double>>(), ids);
  check_gradient_of(small_language_model<CrateAlphaBlock<double>>(), ids);
  check_gradient_of(small_language_model<TransformerBlock<double>>(), ids);
  auto dropping = small_language_model<CrateBlock<double>>();
  dropping.tokens.dropout = 0.3;
  check_gradient_of(dropping, TokenIds(nine_ids, TokenLayout({2, 6, 1}).with_chosen({1, 5, 5})),
                    {.dropout = {.seed = 3, .step = 1}});
}

TEST_CASE("masked language models and sentence classifiers go backward, with types, padding and either decoder") {
  const TokenIds ids(nine_ids, unequal_sets(), nine_types);
  for (const bool tied : {true, false})
    check_gradient_of(started<CrateMaskedLanguageModel<double>>(small_masked_options<CrateBlock<double>>(tied)), ids);
  check_gradient_of(
      started<TransformerMaskedLanguageModel<double>>(small_masked_options<TransformerBlock<double>>(true)),
      TokenIds(nine_ids, unequal_sets().with_chosen({0, 8, 3})));
  SentenceClassifierOptions<CrateBlockOptions> options{.classes = 3};
  options.text = small_model(options.text);
  check_gradient_of(started<CrateSentenceClassifier<double>>(options), ids);
}
