// SPDX-License-Identifier: MIT
// Encoders and decoders as users run them: observers, threads, workspaces, summaries, random starts.

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

using SmallEncoder = Encoder<CrateBlock<float>>;

SmallEncoder small_encoder(std::uint64_t seed = 1) {
  SmallEncoder encoder(3, {.dim = 24, .heads = 4});
  initialise(encoder, seed);
  return encoder;
}

TokenSets<float> some_sets() {
  Random random(9);
  return {draw_normal(random, 24, 300).cast<float>(), TokenLayout({140, 1, 130, 29})};
}

}  // namespace

TEST_CASE("an encoder is its blocks, one after another") {
  const SmallEncoder encoder = small_encoder();
  TokenSets<float> expected = some_sets();
  for (const auto& block : encoder.layers) expected = block.forward(expected);
  CHECK(encoder.forward(some_sets()).tokens == expected.tokens);
}

TEST_CASE("an observer sees every half-step once, in order, under its name") {
  std::vector<std::string> seen;
  const SmallEncoder encoder = small_encoder();
  (void)encoder.forward(some_sets(), {.observer = [&](HalfStep<float> step) { seen.emplace_back(step.name); }});
  CHECK(seen == std::vector<std::string>{"layers.0.compress.projection", "layers.0.compress", "layers.0.sparsify",
                                         "layers.1.compress.projection", "layers.1.compress", "layers.1.sparsify",
                                         "layers.2.compress.projection", "layers.2.compress", "layers.2.sparsify"});
}

TEST_CASE("what an observer changes is what the next half-step receives") {
  const SmallEncoder encoder = small_encoder();
  Matrix<float> changed;
  const TokenSets<float> steered = encoder.forward(some_sets(), {.observer = [&](HalfStep<float> step) {
                                                     if (step.name != "layers.1.compress") return;
                                                     step.activation *= -2;
                                                     changed = step.activation;
                                                   }});
  TokenSets<float> expected(changed, some_sets().layout);
  expected = forward(encoder.layers[1].sparsify, expected);
  expected = encoder.layers[2].forward(expected);
  CHECK(steered.tokens == expected.tokens);
}

TEST_CASE("any number of threads gives the same bits") {
  const SmallEncoder encoder = small_encoder();
  const Matrix<float> alone = encoder.forward(some_sets()).tokens;
  for (const int count : {1, 2, 3, 5}) {
    Threads threads(count);
    CHECK(encoder.forward(some_sets(), {.threads = &threads}).tokens == alone);
  }
  for (const Index length : {1, 5, 31, 65, 197}) {  // no multiples of a packet
    const TokenSets<float> odd(some_sets().tokens.leftCols(length), TokenLayout::single(length));
    const Matrix<float> expected = encoder.forward(odd).tokens;
    for (int repetition = 0; repetition < 10; ++repetition) {
      Threads threads(2);
      CHECK(encoder.forward(odd, {.threads = &threads}).tokens == expected);
    }
  }
  Encoder<StrictBlock<double>> strict(2, {.dim = 24, .heads = 4, .compression = {.step = CompressionStep::softmax}});
  initialise(strict, 1);
  const TokenSets<double> sets(some_sets().tokens.cast<double>(), some_sets().layout);
  Threads threads(3);
  CHECK(strict.forward(sets, {.threads = &threads}).tokens == strict.forward(sets).tokens);
}

TEST_CASE("a workspace stops growing after the first pass, and does not change the result") {
  const SmallEncoder encoder = small_encoder();
  Workspace workspace;
  const Matrix<float> first = encoder.forward(some_sets(), {.workspace = &workspace}).tokens;
  const std::size_t held = workspace.capacity();
  CHECK(held > 0);
  const Matrix<float> second = encoder.forward(some_sets(), {.workspace = &workspace}).tokens;
  CHECK(workspace.capacity() == held);
  CHECK(first == second);
  CHECK(first == encoder.forward(some_sets()).tokens);
}

TEST_CASE("a random start depends on the seed and the name alone") {
  CHECK(small_encoder(1).layers[2].sparsify.layer.dictionary == small_encoder(1).layers[2].sparsify.layer.dictionary);
  CHECK(small_encoder(1).layers[2].sparsify.layer.dictionary != small_encoder(2).layers[2].sparsify.layer.dictionary);
  CHECK(small_encoder(1).layers[1].sparsify.layer.dictionary != small_encoder(1).layers[2].sparsify.layer.dictionary);
  SmallEncoder deeper(5, {.dim = 24, .heads = 4});
  initialise(deeper, 1);
  CHECK(deeper.layers[2].compress.branch.layer.subspaces.bases() ==
        small_encoder(1).layers[2].compress.branch.layer.subspaces.bases());
}

TEST_CASE("a model is a value: a copy is deep") {
  const SmallEncoder encoder = small_encoder();
  SmallEncoder copy = encoder;
  copy.layers[0].sparsify.layer.dictionary.setZero();
  CHECK(encoder.layers[0].sparsify.layer.dictionary.norm() > 0);
  copy = encoder;
  CHECK(copy.forward(some_sets()).tokens == encoder.forward(some_sets()).tokens);
}

TEST_CASE("parameters of two models of one structure are visited side by side") {
  const SmallEncoder a = small_encoder(1);
  SmallEncoder b = small_encoder(2);
  for_each_parameter([](std::string_view, ParameterKind, const auto& from, auto& to) { to = from; }, a, b);
  CHECK(b.forward(some_sets()).tokens == a.forward(some_sets()).tokens);
}

TEST_CASE("models of different structure are not visited side by side") {
  SmallEncoder shallow(2, {.dim = 24, .heads = 4});
  const SmallEncoder deep = small_encoder();
  CHECK_THAT(message_of<ShapeError>([&] {
               for_each_parameter([](std::string_view, ParameterKind, const auto&, auto&) {}, deep, shallow);
             }),
             ContainsSubstring("of 'layers', found 2"));
}

TEST_CASE("the stacks of the published classifiers hold 3 d^2 + 5 d parameters a layer and do 4 N d^2 + 2 N^2 d") {
  const Index d = 384, tokens = 197;
  const Encoder<CrateBlock<float>> tiny(12, {.dim = d, .heads = 6});
  CHECK(parameter_count(tiny) == 12 * (3 * d * d + 5 * d));
  CHECK(tiny.multiply_adds(TokenLayout::equal(2, tokens)) ==
        12.0 * 2 * (4.0 * tokens * d * d + 2.0 * tokens * tokens * d));
}

TEST_CASE("the summary has a line for every half-step and one for the whole") {
  const std::string text = summary(small_encoder(), TokenLayout::single(17));
  CHECK_THAT(text, ContainsSubstring("layers.0.compress  Z + MSSA(LN(Z))"));
  CHECK_THAT(text, ContainsSubstring("layers.2.sparsify  ISTA(LN(Z))"));
  CHECK_THAT(text, ContainsSubstring(std::to_string(3 * (3 * 24 * 24 + 5 * 24))));
  CHECK(std::count(text.begin(), text.end(), '\n') == 1 + 6 + 1);
}

TEST_CASE("an encoder has at least one layer") {
  CHECK_THAT(message_of<OptionError>([] { SmallEncoder(0, {.dim = 24, .heads = 4}); }),
             ContainsSubstring("depth >= 1, found 0"));
}

TEST_CASE("a classifier's sizes are refused by their names, and so is one without layers") {
  using Classifier = CrateClassifier<double>;
  const Classifier::Options sizes{
      .image = {.height = 32, .width = 32}, .classes = 10, .depth = 1, .block = {.dim = 12, .heads = 3}};
  const auto refusal = [&](auto change) {
    Classifier::Options changed = sizes;
    change(changed);
    return message_of<OptionError>([&] { (void)Classifier(changed); });
  };
  CHECK(refusal([](auto& o) { o.image.height = 28; }) ==
        "image height: expected a multiple of the patch's 16 rows, found 28");
  CHECK(refusal([](auto& o) { o.image.width = 40; }) ==
        "image width: expected a multiple of the patch's 16 columns, found 40");
  CHECK(refusal([](auto& o) { o.image.patch_width = 0; }) ==
        "image patches: expected at least 1 x 1 pixels, found 16 x 0");
  CHECK(refusal([](auto& o) { o.image.channels = 0; }) == "image: expected channels >= 1, found 0");
  CHECK(refusal([](auto& o) { o.classes = 0; }) == "classifier: expected classes >= 1, found 0");
  Classifier model(sizes);
  model.encoder.layers.clear();
  const Matrix<double> image = Matrix<double>::Zero(3072, 1);
  CHECK(message_of<ShapeError>([&] { (void)model.forward(image); }) ==
        "the part without a name: expected layers for tokens of 12 rows, found none");
}
