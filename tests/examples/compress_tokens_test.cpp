// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>
#include <sstream>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "compress_tokens/layer_table.hpp"
#include "compress_tokens/options.hpp"
#include "compress_tokens/rate_distortion.hpp"
#include "compress_tokens/text.hpp"
#include "compress_tokens/toy.hpp"
#include "compress_tokens/toy_effects.hpp"
#include "crate/analysis/estimate_subspaces.hpp"
#include "draw.hpp"

using namespace compress_tokens;

TEST_CASE("the toy's tokens lie in their subspaces but for the noise") {
  const Toy toy = draw_toy({.width = 20, .tokens = 60, .subspaces = 3, .dim = 2, .noise = 0});
  const Effect effect = measure_effect("clean", toy, toy.tokens);
  REQUIRE(effect.own_energy == Approx(1).epsilon(1e-12));
  REQUIRE(toy.tokens == toy.clean);
}

TEST_CASE("the layers' dictionaries multiply to the bases of the subspaces") {
  const Toy toy = draw_toy({.width = 40, .tokens = 60, .subspaces = 4, .dim = 3});
  for (const Index depth : {2, 3, 7}) {
    const Weights weights = weights_from_subspaces(toy.subspaces, depth);
    REQUIRE((whole_dictionary(weights).leftCols(12) - toy.subspaces.bases()).norm() < 1e-12);
    REQUIRE(weights.subspaces.size() == static_cast<std::size_t>(depth) + 1);
    REQUIRE((weights.subspaces.back().bases() - Matrix::Identity(40, 12)).norm() < 1e-12);
  }
}

TEST_CASE("subspaces that share a direction make no dictionary") {
  Subspaces twice(Matrix::Identity(6, 4), 2);
  twice.basis(1) = twice.basis(0);
  REQUIRE_THROWS_AS(weights_from_subspaces(twice, 3), crate::OptionError);
  crate::Random random(1);
  const Subspaces many(crate::test::draw_normal(random, 6, 8), 2);
  REQUIRE_THROWS_AS(weights_from_subspaces(many, 3), crate::OptionError);
}

// The figures that the program is to reach with its default arguments, with true and with estimated subspaces.
TEST_CASE("the white box separates signal from noise, with true and with estimated subspaces") {
  for (const std::uint64_t seed : {0U, 1U}) {
    const Toy toy = draw_toy({.seed = seed});
    const auto estimated = crate::estimate_subspaces(toy.tokens, {.subspaces = 8, .dim = 4, .seed = seed});
    REQUIRE(worst_angle(toy.subspaces, estimated.subspaces) < 10);
    const Strength strength{.epsilon = 0.1 * std::sqrt(128.0), .lambda = 0.2};
    for (const Subspaces& subspaces : {toy.subspaces, estimated.subspaces}) {
      const Weights weights = weights_from_subspaces(subspaces, 4);
      crate::Threads threads;
      const EncodedTokens encoded = encode_and_measure(make_encoder(weights, strength, toy.tokens.cols()), weights,
                                                       toy.tokens, strength.epsilon, 0.5, threads);
      REQUIRE(encoded.measures.size() == 9);
      REQUIRE(every_layer_lowers_rate(encoded.measures));
      for (std::size_t layer = 2; layer < 9; layer += 2)
        REQUIRE(encoded.measures[layer].objective > encoded.measures[layer - 2].objective);
      REQUIRE(encoded.measures.back().nonzero_share <= 0.3);
      const Matrix decoded = crate::forward(make_decoder(weights, strength, toy.tokens.cols()), encoded.codes);
      const Effect effect = measure_effect("decoded", toy, decoded);
      REQUIRE(effect.own_energy >= 0.97);
      REQUIRE(effect.gain >= 1.6);
    }
  }
}

TEST_CASE("compression alone shrinks signal and noise alike") {
  const Toy toy = draw_toy({.width = 64, .tokens = 512, .subspaces = 4, .dim = 4});
  const WhiteBox box{weights_from_subspaces(toy.subspaces, 4), {.epsilon = 0.8, .lambda = 0.2}};
  const Effect before = measure_effect("noisy", toy, toy.tokens);
  const Effect after = measure_effect("compressed", toy, box.compressed_only(toy.tokens));
  REQUIRE(after.own_energy < before.own_energy);
  REQUIRE(after.gain < 1.1);
}

TEST_CASE("the entropy of a code is that of its histogram") {
  REQUIRE(entropy_bits({}) == 0);
  REQUIRE(entropy_bits({3, 3, 3}) == 0);
  REQUIRE(entropy_bits({1, 2, 3, 4, 1, 2, 3, 4}) == Approx(16));
  Matrix codes(2, 4);
  codes << 0.1, -0.2, 0.9, 1.1,  // 0, 0, 1, 1: one bit each
      0.0, 0.3, -1.2, 2.0;       // 0, 0, -1, 2: half a bit, half a bit, two, two ... 1.5 on average
  const QuantisedCodes quantised = quantise(codes, 1);
  REQUIRE(quantised.bits == Approx(4 + 6));
  REQUIRE(quantised.codes(1, 2) == -1);
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

// A comparison with nan is false either way: tokens of 1e-160 had rates of nan, and R^c "fell at every compression
// step".
TEST_CASE("rates that are no numbers did not fall, and nothing that is not finite is printed") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<LayerMeasures> rows(3);
  rows[0].subspace_rate = rows[2].subspace_rate = 2;
  rows[1].subspace_rate = 1;
  REQUIRE(layers_that_raise_rate(rows).empty());
  rows[1].subspace_rate = nan;
  REQUIRE(layers_that_raise_rate(rows) == std::vector<std::size_t>{1});
  rows[1].subspace_rate = 3;
  REQUIRE(layers_that_raise_rate(rows) == std::vector<std::size_t>{1});
  REQUIRE(text("%.1f and %d", 0.5, 3) == "0.5 and 3");
  REQUIRE_THROWS_AS(text("%.1f", nan), crate::PrecisionError);
  REQUIRE_THROWS_AS(text("%.1f", 1 / 0.0), crate::PrecisionError);
  const Toy toy = draw_toy({.width = 8, .tokens = 40, .subspaces = 2, .dim = 2});
  const Subspaces& u = toy.subspaces;
  REQUIRE_THROWS_AS(measure("input", Matrix(nan * toy.tokens), u, 0.5, 0.5), crate::PrecisionError);
}

TEST_CASE("kappa beyond its bound is seen, and raises R^c") {
  const Toy toy = draw_toy({.width = 32, .tokens = 300, .subspaces = 3, .dim = 3});
  const Weights weights = weights_from_subspaces(toy.subspaces, 4);
  crate::Threads threads;
  for (const double kappa : {1.0, 5.0}) {
    const Encoder encoder = make_encoder(weights, {.epsilon = 0.55, .kappa = kappa, .lambda = 0.2}, toy.tokens.cols());
    const EncodedTokens encoded = encode_and_measure(encoder, weights, toy.tokens, 0.55, 0.5, threads);
    REQUIRE((kappa_beyond_bound(encoder, toy.tokens.cols()) > 1) == (kappa > 2));
    REQUIRE(layers_that_raise_rate(encoded.measures).empty() == (kappa < 2));
  }
}

TEST_CASE("the toy refuses sizes whose products overflow") {
  REQUIRE_THROWS_AS(draw_toy({.width = 3037000500, .tokens = 10, .subspaces = 3037000500, .dim = 3037000500}),
                    crate::OptionError);
  REQUIRE_THROWS_AS(draw_toy({.width = 4000000000, .tokens = 4000000000, .subspaces = 1, .dim = 1}),
                    crate::OptionError);
}

// --kappa 0 moved nothing, and yet R^c "fell at every compression step".
TEST_CASE("R^c that stays as it is has neither fallen nor risen") {
  std::vector<LayerMeasures> rows(3);
  rows[0].subspace_rate = rows[1].subspace_rate = 2;
  REQUIRE(describe_compression(rows) == "R^c rose at no compression step, but did not fall at every one");
  rows[1].subspace_rate = 1;
  REQUIRE(describe_compression(rows) == "R^c fell at every compression step");
  rows[1].subspace_rate = 3;
  REQUIRE(describe_compression(rows) == "R^c rose at the compression step of layer 1");
}

TEST_CASE("what is not finite is called by its name") {
  const auto refusal = [](const auto& print) { return crate::test::message_of<crate::PrecisionError>(print); };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<LayerMeasures> rows{{"1 compress", 1, nan, 0, 0}};
  std::ostringstream out;
  REQUIRE(refusal([&] { print_layer_table(out, rows); }) ==
          "R^c(Z|U) of 1 compress: expected a finite number, found nan");
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
  for (const InputKind kind : {InputKind::csv, InputKind::safetensors, InputKind::photograph})
    for (const char* const option : {"--width", "--tokens", "--noise", "--estimate"})
      REQUIRE(!why_without_effect(option, kind).empty());
  for (const InputKind kind : {InputKind::toy, InputKind::csv, InputKind::safetensors})
    REQUIRE(!why_without_effect("--patch", kind).empty());
  for (const InputKind kind : {InputKind::toy, InputKind::safetensors, InputKind::photograph})
    for (const char* const option : {"--labels", "--columns", "--header", "--index"})
      REQUIRE(!why_without_effect(option, kind).empty());
  for (const InputKind kind : {InputKind::toy, InputKind::csv, InputKind::npy, InputKind::photograph})
    REQUIRE(!why_without_effect("--tensor", kind).empty());
  REQUIRE(why_without_effect("--tensor", InputKind::safetensors).empty());
  REQUIRE(why_without_effect("--noise", InputKind::toy).empty());
  REQUIRE(why_without_effect("--patch", InputKind::photograph).empty());
  REQUIRE(why_without_effect("--labels", InputKind::csv).empty());
  for (const char* const option : {"--input", "--dim", "--kappa", "--seed", "--help"})
    REQUIRE(why_without_effect(option, InputKind::csv).empty());
}
