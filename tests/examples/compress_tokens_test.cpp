// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <sstream>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "compress_tokens/options.hpp"
#include "compress_tokens/rate_distortion.hpp"
#include "compress_tokens/source.hpp"
#include "compress_tokens/text.hpp"
#include "compress_tokens/toy.hpp"
#include "compress_tokens/toy_effects.hpp"
#include "compress_tokens/train.hpp"
#include "draw.hpp"

using namespace compress_tokens;

TEST_CASE("the toy's tokens lie in their subspaces but for the noise") {
  const Toy toy = draw_toy({.width = 20, .tokens = 60, .subspaces = 3, .dim = 2, .noise = 0});
  const Effect effect = measure_effect("clean", toy, toy.tokens);
  REQUIRE(effect.own_energy == Approx(1).epsilon(1e-12));
  REQUIRE(toy.tokens == toy.clean);
}

// The figures that the program is to reach with its default arguments.
TEST_CASE("the white box finds the toy's subspaces, and separates signal from noise") {
  for (const std::uint64_t seed : {0U, 1U}) {
    const Toy toy = draw_toy({.seed = seed});
    crate::Threads threads;
    const WhiteBox box = crate::fit_white_box(toy.tokens, {.subspaces = 8, .dim = 4, .seed = seed});
    REQUIRE(worst_angle(toy.subspaces, box.subspaces()) < 10);
    const Matrix codes = box.encode(toy.tokens);
    REQUIRE((codes.array() != 0).cast<double>().mean() <= 0.3);
    const auto effects = measure_effects(toy, box, box.decode(codes), threads);
    REQUIRE(effects[2].own_energy >= 0.9);  // the sparse code alone
    REQUIRE(effects[2].gain >= 1.6);
    REQUIRE(effects[3].own_energy >= 0.85);  // with compression
    REQUIRE(effects[3].gain >= 1.4);
  }
}

TEST_CASE("without compression steps compression changes nothing, and the rest of the white box stays") {
  const Toy toy = draw_toy({.width = 32, .tokens = 300, .subspaces = 4, .dim = 4});
  crate::Threads threads;
  const WhiteBox box = crate::fit_white_box(toy.tokens, {.subspaces = 4, .dim = 4, .depth = 2});
  const WhiteBox without = without_compression(box);
  REQUIRE(compressed_only(without, toy.tokens, threads).isApprox(toy.tokens, 1e-12));
  REQUIRE(!compressed_only(box, toy.tokens, threads).isApprox(toy.tokens, 1e-2));
  REQUIRE(without.encoder.layers[1].sparsify.options.lambda == box.encoder.layers[1].sparsify.options.lambda);
}

TEST_CASE("how much of R is noise is the difference to the clean tokens, before and after") {
  const Toy toy = draw_toy({.width = 32, .tokens = 300, .subspaces = 4, .dim = 4});
  const WhiteBox box = crate::fit_white_box(toy.tokens, {.subspaces = 4, .dim = 4, .depth = 2});
  const double before = rate_of_directions(box, toy.tokens.colwise() - box.mean.col(0));
  REQUIRE(before == Approx(box.report(toy.tokens).half_layers.front().rate));
  REQUIRE(rate_of_directions(box, toy.clean) < before);
  REQUIRE(words_on_noise({10, 4}, {30, 6}) ==
          "Without noise, R would change from 10.0 to 4.0 nats per token; with noise it changes from 30.0 to 6.0: "
          "noise accounts for 20.0 of it before and 2.0 after.");
}

TEST_CASE("a white box that codes at a precision has thresholds that sum to a fifth of the quantiser's step") {
  const Toy toy = draw_toy({.width = 24, .tokens = 300, .subspaces = 4, .dim = 3});
  crate::Threads threads;
  const WhiteBox coder = at_precision(fit_to_code(toy.tokens, 0.4, 0, threads), toy.tokens, 0.4, threads);
  double sum = 0;
  for (const auto& layer : coder.encoder.layers) sum += layer.sparsify.options.step * layer.sparsify.options.lambda;
  REQUIRE(sum == Approx(0.2 * quantiser_step(0.4, 24)));
  const CodedTokens coded = code_by_white_box(toy.tokens, coder, 0.4, threads);
  REQUIRE(std::sqrt(coded.squared_error(toy.tokens) / 300) < 2 * 0.4);
}

TEST_CASE("a white box with another dictionary decodes what it encodes") {
  const Toy toy = draw_toy({.width = 12, .tokens = 200, .subspaces = 2, .dim = 3});
  const WhiteBox box = crate::fit_white_box(
      toy.tokens, {.subspaces = 2, .dim = 3, .kappa = 0.2, .depth = 3, .non_zero = 1, .inverse_iterations = 60});
  crate::Random random(3);
  const Matrix turn = draw_basis(12, 12, random);
  const WhiteBox turned = with_dictionary(box, turn);
  const Matrix codes = turned.encode(toy.tokens);
  REQUIRE(turned.encoder.layers.front().sparsify.dictionary == turn);
  REQUIRE(turned.decode(codes).isApprox(toy.tokens, 1e-9));
  const Matrix there = box.encoder.layers.front().sparsify.dictionary.transpose() * turn;
  REQUIRE((there * codes).isApprox(box.encode(toy.tokens), 1e-9));
}

TEST_CASE("tokens cost less in the dictionary to code them in than in their principal directions") {
  const Toy toy = draw_toy({.width = 16, .tokens = 400, .subspaces = 4, .dim = 3});
  crate::Threads threads;
  const Matrix principal = crate::principal_directions(toy.tokens, threads);
  for (const double step : {0.2, 0.5}) {
    const Matrix dictionary = dictionary_to_code(toy.tokens, principal, step, threads);
    REQUIRE(cost_of_code(toy.tokens, dictionary, step, threads) < cost_of_code(toy.tokens, principal, step, threads));
  }
}

TEST_CASE("training lowers error and code, and leaves a white box for as many tokens") {
  const Toy toy = draw_toy({.width = 16, .tokens = 200, .subspaces = 2, .dim = 3});
  WhiteBox box = crate::fit_white_box(toy.tokens, {.subspaces = 2, .dim = 3, .depth = 2});
  crate::Threads threads;
  const Training training = train(box, toy.tokens, {.steps = 60, .precision = 0.01}, Progress(), threads);
  const auto loss = [&](const TrainLoss& l) {
    return l.error / training.before.error + l.code / training.before.code / 4;
  };
  REQUIRE(loss(training.after) < 0.95 * loss(training.before));
  REQUIRE(box.decoder.layers.front().decompress.options.iterations == 1);
  REQUIRE(box.fitted_tokens == 200);
  const double error = (box.decode(box.encode(toy.tokens)) - toy.tokens).squaredNorm();
  REQUIRE(error == Approx(training.after.error).epsilon(0.01));  // but for that of rounding
}

TEST_CASE("the entropy of a code is that of its histogram") {
  REQUIRE(entropy_bits({}) == 0);
  REQUIRE(entropy_bits({3, 3, 3}) == 0);
  REQUIRE(entropy_bits({1, 2, 3, 4, 1, 2, 3, 4}) == Approx(16));
  Matrix codes(2, 4);
  codes << 0.1, -0.2, 0.9, 1.1,  // 0, 0, 1, 1: one bit each
      0.0, 0.3, -1.2, 2.0;       // 0, 0, -1, 2: half a bit, half a bit, two, two ... 1.5 on average
  crate::Threads threads;
  const QuantisedCodes quantised = quantise(codes, 1, threads);
  REQUIRE(quantised.bits == Approx(4 + 6));
  REQUIRE(quantised.codes(1, 2) == -1);
  const crate::Vector<double> near = crate::Vector<double>{{3, 1, 3, 2, 1, 3}};
  const crate::Vector<double> far = crate::Vector<double>{{3, 1, 3, 1e9, 1, 3}};
  for (const auto& levels : {near, far})
    REQUIRE(entropy_of_levels(levels) == Approx(6 * (0.5 + std::log2(3) / 3 + std::log2(6) / 6)));
}

TEST_CASE("principal components are given no more bits than asked for, and nearly as many") {
  crate::Random random(6);
  const Matrix tokens = draw_normal(5, 5, random) * draw_normal(5, 400, random);
  crate::Threads threads;
  const PrincipalComponentCode pca(tokens, threads);
  for (const double bits : {500.0, 2000.0, 8000.0}) {
    const CodedTokens coded = pca.at_rate(bits, 0.2);
    REQUIRE(coded.bits <= bits);
    REQUIRE(coded.bits >= 0.95 * bits);
  }
}

TEST_CASE("nothing that is not finite is printed") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  REQUIRE(text("%.1f and %d", 0.5, 3) == "0.5 and 3");
  REQUIRE_THROWS_AS(text("%.1f", nan), crate::PrecisionError);
  REQUIRE_THROWS_AS(text("%.1f", 1 / 0.0), crate::PrecisionError);
}

TEST_CASE("the toy refuses sizes whose products overflow") {
  REQUIRE_THROWS_AS(draw_toy({.width = 3037000500, .tokens = 10, .subspaces = 3037000500, .dim = 3037000500}),
                    crate::OptionError);
  REQUIRE_THROWS_AS(draw_toy({.width = 4000000000, .tokens = 4000000000, .subspaces = 1, .dim = 1}),
                    crate::OptionError);
}

TEST_CASE("what is not finite is called by its name") {
  const auto refusal = [](const auto& print) { return crate::test::message_of<crate::PrecisionError>(print); };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::ostringstream out;
  REQUIRE(refusal([&] {
            print_effects(out, {{"decoded", 1, nan, 1}});
          }) == "decoded: distance to clean: expected a finite number, found nan");
  REQUIRE(refusal([&] { static_cast<void>(text("\nprecision = %.3g", nan)); }) ==
          "precision: expected a finite number, found nan");
}

TEST_CASE("an option without effect beside the input is told why") {
  REQUIRE(kind_of_input("") == InputKind::toy);
  REQUIRE(kind_of_input("a/b.CSV") == InputKind::csv);
  REQUIRE(kind_of_input("a.JPeg") == InputKind::photograph);
  REQUIRE(kind_of_input("a.npy") == InputKind::npy);
  REQUIRE(kind_of_input("a.npz") == InputKind::unknown);
  const auto is_refused = [](const char* option, const char* input, const char* loaded = "") {
    return !why_without_effect(option, {.input = input, .load = loaded}).empty();
  };
  for (const char* const input : {"a.csv", "a.safetensors", "a.png"})
    for (const char* const option : {"--width", "--tokens", "--noise"}) REQUIRE(is_refused(option, input));
  for (const char* const input : {"", "a.csv", "a.safetensors"}) REQUIRE(is_refused("--patch", input));
  for (const char* const input : {"", "a.safetensors", "a.png"})
    for (const char* const option : {"--labels", "--columns", "--header", "--index"})
      REQUIRE(is_refused(option, input));
  for (const char* const input : {"", "a.csv", "a.npy", "a.png"}) REQUIRE(is_refused("--tensor", input));
  REQUIRE(!is_refused("--tensor", "a.safetensors"));
  REQUIRE(!is_refused("--noise", ""));
  REQUIRE(!is_refused("--patch", "a.png"));
  REQUIRE(!is_refused("--labels", "a.csv"));
  for (const char* const option : {"--input", "--dim", "--kappa", "--seed", "--help"})
    REQUIRE(!is_refused(option, "a.csv"));
  for (const char* const option :
       {"--epsilon", "--kappa", "--depth", "--non-zero", "--step", "--verbose", "--subspaces"})
    REQUIRE(is_refused(option, "a.csv", "white_box.safetensors"));
  for (const char* const option : {"--subspaces", "--dim", "--seed"})  // of the tokens that are drawn
    REQUIRE(!is_refused(option, "", "white_box.safetensors"));
}
