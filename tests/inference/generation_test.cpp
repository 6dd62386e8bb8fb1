// SPDX-License-Identifier: MIT
// Writing on from prompts: a pass that goes on from a cache computes what one of the whole text does, at every
// position, and a text does not depend on those that are written beside it.

#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/inference/fold.hpp"
#include "crate/inference/generate.hpp"
#include "crate/layers/initialise.hpp"
#include "crate/models/language_model.hpp"
#include "crate/text/stop_strings.hpp"

using namespace crate;
using namespace crate::test;

namespace {

using Ids = std::vector<Index>;

constexpr Index vocabulary = 53, context = 24;

/// Heads of 10 numbers are no whole vectors, 4 kept in bfloat16 are whole pairs.
template <template <class> class Model, class S>
Model<S> small_model(Index dim = 20) {
  typename Model<S>::Options options;
  options.vocabulary = vocabulary;
  options.context = context;
  options.depth = 3;
  options.final_norm = !std::is_same_v<Model<S>, CrateLanguageModel<S>>;
  options.block.dim = dim;
  options.block.heads = 2;
  Model<S> model(options);
  initialise(model, 1);
  Random random(2);
  for_each_parameter(
      [&](std::string_view, ParameterKind, auto& parameter) {
        auto noise = parameter;
        random.fill_normal(noise);
        parameter += S(0.2) * noise;
      },
      model);
  return model;
}

Ids random_ids(Index count, std::uint64_t seed = 3) {
  Random random(seed);
  Ids ids;
  for (Index i = 0; i < count; ++i) ids.push_back(random.below(vocabulary));
  return ids;
}

/// The largest error, relative to the largest logit, of passes of so many tokens each against one pass of all.
template <class Model>
double error_by_cache(const Model& model, const Ids& parts, Threads* threads = nullptr) {
  using S = typename Model::Scalar;
  const Ids ids = random_ids(context);
  const Matrix<S> expected = model.forward(TokenIds(ids));
  auto cache = token_cache(model, context);
  const Run<S> run{.threads = threads, .cache = &cache};
  Matrix<S> found(vocabulary, context);
  Index begin = 0;
  for (std::size_t i = 0; begin < context; ++i) {
    const Index count = i < parts.size() ? parts[i] : 1;
    const std::span<const Index> part(ids.data() + begin, static_cast<std::size_t>(count));
    found.middleCols(begin, count) = model.forward(TokenIds(part), run);
    begin += count;
  }
  return static_cast<double>((found - expected).cwiseAbs().maxCoeff() / expected.cwiseAbs().maxCoeff());
}

template <template <class> class Model>
void check_cached_logits() {
  for (const Ids& parts : {Ids{}, Ids{9}, Ids{context}, Ids{1, 5, 3, 7}}) {
    CAPTURE(parts);
    CHECK(error_by_cache(small_model<Model, double>(), parts) < 1e-12);
    CHECK(error_by_cache(small_model<Model, float>(), parts) < 1e-5);
    CHECK(error_by_cache(fold(small_model<Model, double>()), parts) < 1e-12);
    CHECK(error_by_cache(fold(small_model<Model, float>()), parts) < 1e-5);
    CHECK(error_by_cache(fold<bfloat16>(small_model<Model, float>()), parts) < 2e-2);
  }
}

template <class Model>
Ids written_to(const Model& model, const Ids& prompt, const GenerationOptions& options) {
  return generate(model, {prompt}, options).front();
}

/// The published way: the last tokens of the text, as many as the context holds, are passed for each token.
template <class Model>
Ids greedy_without_cache(const Model& model, Ids text, Index count) {
  Ids written;
  for (Index i = 0; i < count; ++i) {
    const auto read = std::span<const Index>(text).last(std::min(text.size(), std::size_t{context}));
    Index best = 0;
    model.forward(TokenIds(read)).rightCols(1).col(0).maxCoeff(&best);
    text.push_back(best);
    written.push_back(best);
  }
  return written;
}

const GenerationOptions greedy{.tokens = 12, .sampling = {.temperature = 0}};

}  // namespace

TEST_CASE("CRATE goes on from a cache as if it saw the whole text", "[generation]") {
  check_cached_logits<CrateLanguageModel>();
}
TEST_CASE("CRATE with an overcomplete dictionary goes on from a cache as if it saw the whole text", "[generation]") {
  check_cached_logits<OvercompleteLanguageModel>();
}
TEST_CASE("CRATE-alpha goes on from a cache as if it saw the whole text", "[generation]") {
  check_cached_logits<CrateAlphaLanguageModel>();
}
TEST_CASE("GPT-2 goes on from a cache as if it saw the whole text", "[generation]") {
  check_cached_logits<TransformerLanguageModel>();
}

TEST_CASE("threads change nothing that is computed from a cache", "[generation]") {
  Threads threads(3);
  const auto model = fold(small_model<CrateLanguageModel, float>());
  CHECK(error_by_cache(model, {5}, &threads) == error_by_cache(model, {5}));
}

TEST_CASE("what a cache keeps is known beforehand, and half as much of MSSA as of self-attention", "[generation]") {
  const auto crate_model = small_model<CrateLanguageModel, float>(32);
  const auto transformer = small_model<TransformerLanguageModel, float>(32);
  CHECK(cached_rows(crate_model) == Ids{32, 32, 32});
  CHECK(cached_rows(fold(small_model<CrateLanguageModel, float>(32))) == Ids{32, 32, 32});
  CHECK(cached_rows(transformer) == Ids{64, 64, 64});
  CHECK(token_cache(crate_model, 10, 2).bytes() == 3 * 32 * 10 * 2 * sizeof(float));
  CHECK(token_cache_bytes(crate_model, 10, 2) == token_cache(crate_model, 10, 2).bytes());
  CHECK(token_cache(transformer, 10, 2).bytes() == 2 * token_cache(crate_model, 10, 2).bytes());
}

TEST_CASE("the token of the largest logit is written again and again, also past the context", "[generation]") {
  const auto model = small_model<CrateLanguageModel, double>();
  const Ids prompt = random_ids(7);
  CHECK(written_to(model, prompt, greedy) == greedy_without_cache(model, prompt, 12));
  GenerationOptions longer = greedy;
  longer.tokens = 40;
  longer.slide = 1;
  CHECK(written_to(model, prompt, longer) == greedy_without_cache(model, prompt, 40));
  CHECK(written_to(model, random_ids(30), longer) == greedy_without_cache(model, random_ids(30), 40));
}

TEST_CASE("a text may forget many tokens at a time", "[generation]") {
  const auto model = fold(small_model<CrateLanguageModel, float>());
  GenerationOptions options = greedy;
  options.tokens = 60;
  for (const Index slide : {Index{8}, context}) {
    options.slide = slide;
    CHECK(written_to(model, random_ids(5), options).size() == 60);
  }
}

namespace {

template <class Model>
void check_beside_each_other(const Model& model) {
  GenerationOptions options{.tokens = 20, .slide = 5, .sampling = {.top_k = 20, .seed = 4}};
  const std::vector<Ids> prompts{random_ids(3), random_ids(1), random_ids(context), random_ids(11), random_ids(40)};
  const std::vector<Ids> together = generate(model, prompts, options);
  for (std::size_t i = 0; i < prompts.size(); ++i) CHECK(together[i] == written_to(model, prompts[i], options));
}

}  // namespace

TEST_CASE("prompts of unequal length give beside each other what they give alone", "[generation]") {
  check_beside_each_other(fold(small_model<CrateLanguageModel, float>()));
  check_beside_each_other(fold<bfloat16>(small_model<CrateLanguageModel, float>()));
  check_beside_each_other(fold(small_model<TransformerLanguageModel, float>()));
}

TEST_CASE("texts end by themselves while others go on", "[generation]") {
  const auto model = fold(small_model<CrateLanguageModel, float>());
  const Ids whole = written_to(model, random_ids(4), greedy);
  GenerationOptions ending = greedy;
  ending.end_tokens = {whole[2]};
  Ids expected(whole.begin(), std::find(whole.begin(), whole.end(), whole[2]) + 1);
  CHECK(written_to(model, random_ids(4), ending) == expected);
  const auto both = generate(model, {random_ids(4), random_ids(6)}, greedy, {},
                             [count = 0](Index prompt, Index) mutable { return prompt == 1 || ++count < 2; });
  CHECK(both[0] == Ids(whole.begin(), whole.begin() + 2));
  CHECK(both[1] == written_to(model, random_ids(6), greedy));
}

TEST_CASE("prompts of one token and as long as the context are gone on with", "[generation]") {
  const auto model = fold(small_model<CrateLanguageModel, float>());
  CHECK(written_to(model, {5}, greedy).size() == 12);
  CHECK(written_to(model, random_ids(context), {.tokens = 1}).size() == 1);
}

TEST_CASE("what cannot be gone on with is refused by name", "[generation]") {
  const auto model = fold(small_model<CrateLanguageModel, float>());
  CHECK_THROWS_WITH(written_to(model, {}, greedy), "generation: expected at least 1 token in prompt 0, found none");
  CHECK_THROWS_AS(generate(model, {}, greedy), OptionError);
  CHECK_THROWS_AS(written_to(model, {3, vocabulary}, greedy), ShapeError);
  CHECK_THROWS_AS(written_to(model, {3, -1}, greedy), ShapeError);
  CHECK_THROWS_WITH(
      generate(model, {{1}, {2, vocabulary}}, greedy),
      "prompt 1: expected ids from 0 to " + std::to_string(vocabulary - 1) + ", found " + std::to_string(vocabulary));
  CHECK_THROWS_WITH(written_to(model, random_ids(context), {.tokens = 2}),
                    "generation: expected a text within the model's context of 24 tokens, or slide > 0, found "
                    "prompt 0 of 24 and 2 to generate");
  CHECK_THROWS_AS(written_to(model, {3}, {.tokens = 0}), OptionError);
  CHECK_THROWS_AS(written_to(model, {3}, {.slide = context + 1}), OptionError);
  CHECK_THROWS_AS(written_to(model, {3}, {.sampling = {.top_p = 0}}), OptionError);
  CHECK_THROWS_AS(written_to(model, {3}, {.sampling = {.temperature = -1}}), OptionError);
}

TEST_CASE("a cache goes on with the sets that it has room for alone, and is as before after a refused pass",
          "[generation]") {
  const auto model = small_model<CrateLanguageModel, double>();
  auto cache = token_cache(model, 4);
  const Run<double> run{.cache = &cache};
  const Ids ids{1, 2, 3};
  (void)model.forward(TokenIds(ids), run);
  CHECK_THROWS_AS(model.forward(TokenIds(ids), run), ShapeError);
  CHECK_THROWS_AS(model.forward(TokenIds(Ids{vocabulary}), run), ShapeError);
  CHECK(cache.length(0) == 3);
  const Matrix<double> last = model.forward(TokenIds(Ids{7}), run);
  CHECK(relative_error(last, model.forward(TokenIds(Ids{1, 2, 3, 7})).rightCols(1)) < 1e-12);
  auto of_another = token_cache(small_model<TransformerLanguageModel, double>(), 4);
  CHECK_THROWS_AS(model.forward(TokenIds(ids), Run<double>{.cache = &of_another}), ShapeError);
  Mssa<double> seeing_all(MssaOptions{.dim = 4, .heads = 2});
  CHECK_THROWS_AS(cached_rows(seeing_all), OptionError);
}

TEMPLATE_TEST_CASE("a column is multiplied alone as among others, whatever share of it is zeros", "[generation]", float,
                   double, bfloat16) {
  using S = ScalarOf<TestType>;
  Random random(5);
  Matrix<double> weight(117, 37);
  random.fill_normal(weight);
  const FoldedLinear<TestType> map{AffineMap(weight)};
  for (const double zeros : {0.0, 0.5, 0.7, 0.9, 1.0}) {
    Matrix<S> columns(37, 3);
    random.fill_normal(columns);
    for (S& number : columns.reshaped())
      if (random.uniform() < zeros) number = random.uniform() < 0.5 ? S(0) : -S(0);
    const Matrix<S> together = forward(map, columns);
    for (Index j = 0; j < 3; ++j) CHECK(forward(map, Matrix<S>(columns.col(j))) == together.col(j));
  }
}

TEST_CASE("sampling keeps to the likeliest tokens that it is told of", "[generation]") {
  Vector<double> logits(5);
  logits << std::log(0.1), std::log(0.4), std::log(0.2), std::log(0.25), std::log(0.05);
  const auto drawn = [&](SamplingOptions options, const Ids& text = {}) {
    Random random(9);
    std::vector<double> shares(5, 0.0);
    for (int i = 0; i < 4000; ++i)
      shares[static_cast<std::size_t>(choose_token(logits, text, options, random))] += 1.0 / 4000;
    return shares;
  };
  using Catch::Matchers::Approx;
  const auto near = [](const std::vector<double>& expected) { return Approx(expected).margin(0.03); };
  CHECK_THAT(drawn({}), near({0.1, 0.4, 0.2, 0.25, 0.05}));
  CHECK_THAT(drawn({.temperature = 0}), near({0, 1, 0, 0, 0}));
  CHECK_THAT(drawn({.temperature = 0.5}), near({0.0364, 0.5818, 0.1455, 0.2273, 0.0091}));
  CHECK_THAT(drawn({.top_k = 2}), near({0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}));
  CHECK_THAT(drawn({.top_k = 9}), near({0.1, 0.4, 0.2, 0.25, 0.05}));
  CHECK_THAT(drawn({.top_p = 0.3}), near({0, 1, 0, 0, 0}));
  CHECK_THAT(drawn({.top_p = 0.6}), near({0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}));
  CHECK_THAT(drawn({.temperature = 0, .repetition_penalty = 2}, {1, 1}), near({0, 0, 0, 1, 0}));
  logits(2) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(drawn({}), Error);
}

TEST_CASE("a text ends in front of the first stop string, wherever its pieces are cut", "[generation]") {
  const std::string text = "one ENtwo ENDthree";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    StopStrings stop({"END", "three"});
    std::string shown;
    for (std::size_t i = 0; i < text.size(); i += size) shown += stop.next(std::string_view(text).substr(i, size));
    CHECK(shown == "one ENtwo ");
    CHECK(stop.stopped());
    CHECK(stop.finish().empty());
  }
  StopStrings never({"END"});
  CHECK(never.next("the EN") == "the ");
  CHECK(never.finish() == "EN");
  CHECK_THROWS_AS(StopStrings({""}), OptionError);
}

TEST_CASE("attention is not shown in a pass that goes on from a cache, as it would lack the tokens before",
          "[generation]") {
  const auto model = small_model<CrateLanguageModel, float>();
  auto cache = token_cache(model, 4);
  const Ids ids{1, 2, 3};
  CHECK_THROWS_WITH(
      model.forward(TokenIds(ids),
                    Run<float>{.observer = [](HalfStep<float>) {}, .shows_attention = true, .cache = &cache}),
      "attention probabilities: expected a pass without a token cache, found one");
  (void)model.forward(TokenIds(ids), Run<float>{.observer = [](HalfStep<float>) {}, .cache = &cache});
  CHECK(cache.length(0) == 3);
}

TEST_CASE("a cache refuses sets that it has not, and sizes that no memory holds", "[generation]") {
  TokenCache<float> cache({16}, 4, 2);
  CHECK_THROWS_WITH(cache.length(2), "token cache: expected a set from 0 to 1, found 2");
  CHECK_THROWS_AS(cache.length(-1), ShapeError);
  CHECK_THROWS_AS(cache.forget(2), ShapeError);
  CHECK_THROWS_AS(cache.forget(-1), ShapeError);
  constexpr Index large = Index{1} << 40;
  CHECK_THROWS_WITH(TokenCache<float>({16}, large, large),
                    "token cache: expected a size that memory can hold, found 1099511627776 sets of 1099511627776 "
                    "tokens");
  CHECK_THROWS_AS(token_cache_bytes(small_model<CrateLanguageModel, float>(), large, large), ShapeError);
}

TEST_CASE("a token is chosen by options in range and at least one logit", "[generation]") {
  const Vector<double> logits = Vector<double>::Ones(3), none(0);
  Random random(1);
  CHECK_THROWS_AS(choose_token(logits, Ids{}, {.temperature = -1}, random), OptionError);
  CHECK_THROWS_AS(choose_token(none, Ids{}, {}, random), ShapeError);
}
