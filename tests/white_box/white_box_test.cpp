// SPDX-License-Identifier: MIT
// White boxes of one's own tokens: what the fit chooses, and what encoding, decoding, reporting and saving promise.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "crate/crate.hpp"
#include "crate/io/white_box_file.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

struct Drawn {
  Matrix<double> tokens;
  std::vector<Index> subspace;  // of each token
};

/// Tokens of four subspaces of dimension 4 in 32 dimensions, with noise, away from the origin.
Drawn draw_of_subspaces(Index count = 600, double noise = 0.1) {
  Random random(5);
  const Matrix<double> bases =
      draw_normal(random, 32, 16).householderQr().householderQ() * Matrix<double>::Identity(32, 16);
  Drawn drawn{noise * draw_normal(random, 32, count), {}};
  for (Index j = 0; j < count; ++j) {
    drawn.subspace.push_back(j % 4);
    drawn.tokens.col(j) += bases.middleCols(4 * (j % 4), 4) * draw_normal(random, 4, 1);
  }
  drawn.tokens.array() += 3;
  return drawn;
}

Matrix<double> centred(const Matrix<double>& tokens) { return tokens.colwise() - tokens.rowwise().mean(); }

}  // namespace

TEST_CASE("a white box finds how many subspaces tokens lie in, and of which dimension") {
  WhiteBoxFit fit;
  Threads alone;
  const auto box = fit_white_box(draw_of_subspaces().tokens, {}, alone, &fit);
  CHECK(box.subspaces().heads() == 4);
  CHECK(box.subspaces().head_dim() == 4);
  CHECK(fit.falls_into_subspaces());
  CHECK(fit.chosen.worth() > fit.tried.front().worth());
}

TEST_CASE("the precision of a white box is what its subspaces leave out of a direction") {
  const auto tokens = draw_of_subspaces().tokens;
  const auto box = fit_white_box(tokens);
  const Matrix<double> unit = directions(centred(tokens), box.softening());
  double outside = 0;
  for (Index j = 0; j < unit.cols(); ++j) {
    double most = 0;
    for (Index k = 0; k < box.subspaces().heads(); ++k)
      most = std::max(most, (box.subspaces().basis(k).transpose() * unit.col(j)).squaredNorm());
    outside += unit.col(j).squaredNorm() - most;
  }
  CHECK(box.compression().epsilon == Approx(std::sqrt(outside / static_cast<double>(unit.cols()))).epsilon(1e-3));
}

TEST_CASE("tokens without structure do not fall into subspaces, and the fit says so") {
  Random random(5);
  WhiteBoxFit fit;
  Threads alone;
  const auto box = fit_white_box(draw_normal(random, 24, 500), {}, alone, &fit);
  CHECK_FALSE(fit.falls_into_subspaces());
  CHECK(box.depth() == 4);
  std::ostringstream words;
  words << fit;
  CHECK(words.str().find("do not fall into subspaces") != std::string::npos);
}

TEST_CASE("compression draws tokens of a subspace together, layer by layer, and the code is sparse") {
  const auto [tokens, subspace] = draw_of_subspaces();
  const auto report = fit_white_box(tokens).report(tokens, subspace);
  const WhiteBoxMeasures &before = report.half_layers.front(), &after = report.half_layers.back();
  CHECK(after.non_zero <= 0.3);
  CHECK(after.partition_reduction() > 1.2 * before.partition_reduction());
  CHECK(after.classes->separation > 1.5 * before.classes->separation);
  CHECK(after.classes->nearest_neighbour > 0.97);
  for (const WhiteBoxMeasures& row : report.half_layers) CHECK(row.reduction() > 0);
}

TEST_CASE("each layer zeroes an equal share of the entries, down to the share that is wanted") {
  const auto tokens = draw_of_subspaces().tokens;
  const auto report = fit_white_box(tokens, {.depth = 4, .non_zero = 0.2}).report(tokens);
  for (int l = 1; l <= 4; ++l)
    CHECK(report.half_layers[static_cast<std::size_t>(2 * l)].non_zero == Approx(1 - 0.2 * l).margin(1e-3));
}

TEST_CASE("what no threshold took is decoded again") {
  const auto tokens = draw_of_subspaces().tokens;
  const auto box = fit_white_box(tokens, {.kappa = 0.5, .depth = 5, .non_zero = 1, .inverse_iterations = 60});
  const Matrix<double> codes = box.encode(tokens);
  CHECK_FALSE(box.decode(codes).isApprox(codes, 1e-2));
  CHECK(box.decode(codes).isApprox(tokens, 1e-9));
}

TEST_CASE("a set that holds every token twice has every code twice") {
  const auto tokens = draw_of_subspaces().tokens;
  const auto box = fit_white_box(tokens);
  const Matrix<double> codes = box.encode(tokens);
  CHECK(box.encode(tokens.replicate(1, 2)).isApprox(codes.replicate(1, 2), 1e-9));
  CHECK(box.decode(codes.replicate(1, 2)).isApprox(box.decode(codes).replicate(1, 2), 1e-9));
}

TEST_CASE("the code of tokens twice as long is twice as long") {
  const auto tokens = draw_of_subspaces().tokens;
  const Matrix<double> codes = fit_white_box(tokens).encode(tokens);
  CHECK(fit_white_box(2 * tokens).encode(2 * tokens).isApprox(2 * codes, 1e-9));
}

TEST_CASE("a report measures directions at the precision of the box") {
  const auto tokens = draw_of_subspaces().tokens;
  const auto box = fit_white_box(tokens, {.depth = 2});
  const auto report = box.report(tokens);
  REQUIRE(report.half_layers.size() == 5);
  const CodingRateOptions precision{.epsilon = box.compression().epsilon};
  const Matrix<double> input = directions(centred(tokens), box.softening());
  CHECK(report.half_layers[0].rate == Approx(coding_rate(input, precision)));
  CHECK(report.half_layers[0].subspace_rate == Approx(subspace_coding_rate(input, box.subspaces(), precision)));
  const Matrix<double> codes = box.encode(tokens), code = directions(codes, box.softening());
  CHECK(report.half_layers[4].name == "2 sparsify");
  CHECK(report.half_layers[4].subspace_rate == Approx(subspace_coding_rate(code, box.code_subspaces, precision)));
  CHECK(report.decoding_error == Approx((box.decode(codes) - tokens).norm() / centred(tokens).norm()));
}

TEST_CASE("a compression step of a white box raises R - R^c of the soft partition") {
  const auto tokens = draw_of_subspaces().tokens;
  const auto report = fit_white_box(tokens, {.kappa = 0.1, .depth = 3, .non_zero = 1}).report(tokens);
  for (std::size_t i = 1; i < report.half_layers.size(); i += 2)
    CHECK(report.half_layers[i].partition_reduction() > report.half_layers[i - 1].partition_reduction());
}

TEST_CASE("a white box that was saved and loaded computes the same bits, and its file keeps the caller's texts") {
  const auto path = std::filesystem::temp_directory_path() / "crate_white_box_test.safetensors";
  const auto tokens = draw_of_subspaces().tokens;
  const auto box = fit_white_box(tokens);
  save_white_box(path, box, {{"program", "of the caller"}});
  const auto loaded = load_white_box(path);
  const TensorTable table = read_safetensors(path);
  std::filesystem::remove(path);
  REQUIRE(table.find_metadata("program") != nullptr);
  CHECK(*table.find_metadata("program") == "of the caller");
  CHECK(loaded.encode(tokens) == box.encode(tokens));
  CHECK(loaded.decode(box.encode(tokens)) == box.decode(box.encode(tokens)));
}

TEST_CASE("a file that is no white box is refused") {
  const auto path = std::filesystem::temp_directory_path() / "crate_white_box_test_other.safetensors";
  const Matrix<double> tokens = Matrix<double>::Ones(3, 2);
  write_safetensors(path, {tokens_tensor("code_subspaces", tokens)}, {{"crate.family", "white_box"}});
  CHECK_THROWS_AS(load_white_box(path), FileError);
  write_safetensors(path, {tokens_tensor("code_subspaces", tokens)},
                    {{"crate.family", "white_box"}, {"crate.heads", "1"}, {"crate.depth", "1000000000"}});
  CHECK_THROWS_AS(load_white_box(path), FileError);
  write_safetensors(path, {tokens_tensor("tokens", tokens)}, {});
  CHECK_THROWS_AS(load_white_box(path), FileError);
  std::filesystem::remove(path);
}

TEST_CASE("tokens that no white box can be fitted to are refused by name") {
  CHECK_THROWS_AS(fit_white_box(Matrix<double>(4, 0)), ShapeError);
  for (const Index count : {9, 1000})
    CHECK_THROWS_AS(fit_white_box(Matrix<double>::Constant(4, count, 0.1)), OptionError);
  Matrix<double> tokens = draw_of_subspaces(40).tokens;
  CHECK_THROWS_AS(fit_white_box(tokens, {.subspaces = 30, .dim = 2}), ShapeError);
  CHECK_THROWS_AS(fit_white_box(tokens, {.epsilon = 0}), OptionError);
  CHECK_THROWS_AS(fit_white_box(tokens, {.non_zero = 1.5}), OptionError);
  CHECK_THROWS_AS(fit_white_box(tokens).encode(tokens.topRows(7)), ShapeError);
  tokens(3, 3) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(fit_white_box(tokens), PrecisionError);
}

TEST_CASE("classes of many tokens are compared whatever the order they come in") {
  Drawn drawn = draw_of_subspaces(5000);
  for (std::size_t j = 0; j < drawn.subspace.size(); ++j) drawn.subspace[j] = static_cast<Index>(j % 2);
  const auto report =
      fit_white_box(drawn.tokens, {.subspaces = 4, .dim = 4, .depth = 1}).report(drawn.tokens, drawn.subspace);
  CHECK(report.half_layers.front().classes->separation > 1.2);
}

TEST_CASE("classes that cannot be compared are left out of a report, which says why") {
  const auto tokens = draw_of_subspaces(40).tokens;
  const auto box = fit_white_box(tokens, {.subspaces = 2, .dim = 2, .depth = 1});
  std::vector<Index> classes(40, 3);
  CHECK(box.report(tokens, classes).why_no_classes == "Classes are not compared: all tokens have the same class.");
  for (std::size_t j = 0; j < classes.size(); ++j) classes[j] = static_cast<Index>(j);
  const auto report = box.report(tokens, classes);
  CHECK_FALSE(report.compares_classes());
  std::ostringstream words;
  words << report;
  CHECK(words.str().find("Classes are not compared: no two tokens have the same class.") != std::string::npos);
  CHECK(words.str().find("nearest") == std::string::npos);
  classes[1] = 0;
  CHECK(box.report(tokens, classes).compares_classes());
  const Matrix<double> alike = tokens.col(0).replicate(1, 40);
  CHECK_FALSE(box.report(alike, classes).compares_classes());
  CHECK_THROWS_AS(box.report(tokens, {0, 1}), ShapeError);
}

TEST_CASE("a report states the objective of the paper, each non-zero entry at two nats") {
  const auto tokens = draw_of_subspaces().tokens;
  const auto box = fit_white_box(tokens, {.subspaces = 4, .dim = 4, .depth = 2});
  const auto report = box.report(tokens);
  const Matrix<double> codes = box.encode(tokens);
  const double entries = static_cast<double>((codes.array() != 0).count()) / 600;
  const WhiteBoxMeasures& after = report.half_layers.back();
  CHECK(after.objective() == Approx(after.rate - after.subspace_rate - 2 * entries));
  CHECK(after.objective() > report.half_layers.front().objective());
}

TEST_CASE("tokens of two subspaces get a white box of two, and the fit is recorded") {
  Random random(5);
  const Matrix<double> bases =
      draw_normal(random, 24, 8).householderQr().householderQ() * Matrix<double>::Identity(24, 8);
  Matrix<double> tokens = 0.1 * draw_normal(random, 24, 400);
  for (Index j = 0; j < 400; ++j) tokens.col(j) += bases.middleCols(4 * (j % 2), 4) * draw_normal(random, 4, 1);
  WhiteBoxFit fit;
  const auto box = fit_white_box(tokens, {}, fit);
  CHECK(box.subspaces().heads() == 2);
  CHECK(fit.chosen.subspaces == 2);
  CHECK(fit.tokens == 400);
  CHECK_FALSE(fit.is_sampled());
}

TEST_CASE("of many tokens some are fitted to, and the fit says so") {
  const auto tokens = draw_of_subspaces(6500).tokens;
  WhiteBoxFit fit;
  const auto box = fit_white_box(tokens, {.subspaces = 4, .dim = 4, .depth = 1}, fit);
  CHECK(fit.fitted_on == 6000);
  CHECK(fit.tried_on == 2048);
  CHECK(box.fitted_tokens == 6000);
  CHECK(box.mean.isApprox(tokens.rowwise().mean()));
  CHECK(fit.in_words().front().find("Of the 6500 tokens, 6000 drawn at random were fitted to") != std::string::npos);
  const double non_zero = (box.encode(tokens).array() != 0).cast<double>().mean();
  CHECK(non_zero == Approx(fit.non_zero).margin(0.01));
}

TEST_CASE("a decoder takes the turns that undo a step, and no more") {
  const auto tokens = draw_of_subspaces().tokens;
  const auto undone = [&](double kappa) {
    const auto box = fit_white_box(tokens, {.subspaces = 4, .dim = 4, .kappa = kappa, .depth = 1, .non_zero = 1});
    CHECK(box.decode(box.encode(tokens)).isApprox(tokens, 1e-2));
    return box.decoder.layers.front().decompress.options.iterations;
  };
  const Index turns_of_small = undone(0.02), turns_of_large = undone(0.5);
  CHECK(turns_of_small <= 3);
  CHECK(turns_of_large > turns_of_small);
  CHECK(turns_of_large <= 24);
}

TEST_CASE("few tokens, and tokens of one coordinate, are no trouble") {
  Random random(2);
  for (const Index dim : {1, 2, 3, 40})
    for (const Index count : {2, 3, 9}) {
      const Matrix<double> tokens = draw_normal(random, dim, count);
      const auto box = fit_white_box(tokens);
      CHECK(box.decode(box.encode(tokens)).allFinite());
      CHECK((box.encode(tokens).array() != 0).any());
      std::ostringstream words;
      words << box.report(tokens);
      CHECK(words.str().find("nan") == std::string::npos);
    }
}

TEST_CASE("a white box of floats does what one of doubles does") {
  const auto tokens = draw_of_subspaces().tokens;
  const WhiteBoxOptions options{.subspaces = 4, .dim = 4, .depth = 3, .non_zero = 0.3};
  const Matrix<double> codes = fit_white_box(tokens, options).encode(tokens);
  const Matrix<float> floats = tokens.cast<float>();
  const Matrix<float> float_codes = fit_white_box(floats, options).encode(floats);
  CHECK(float_codes.colwise().norm().cast<double>().isApprox(codes.colwise().norm(), 1e-2));
}

TEST_CASE("classes on two axes are told apart, and those of one line are not") {
  Matrix<double> tokens(2, 8);
  tokens << 1, -1, 2, -2, 0, 0, 0, 0, 0, 0, 0, 0, 1, -1, 2, -2;
  const std::vector<Index> axes = {0, 0, 0, 0, 1, 1, 1, 1}, mixed = {0, 1, 0, 1, 0, 1, 0, 1};
  CHECK(class_separation(tokens + Matrix<double>::Constant(2, 8, 1e-3), axes).separation > 100);
  CHECK(class_separation(tokens, axes).nearest_neighbour == 1);
  CHECK(class_separation(tokens, mixed).separation == Approx(2.0 / 3));
  CHECK_THROWS_AS(class_separation(tokens, {0, 1}), ShapeError);
  CHECK_THROWS_AS(class_separation(tokens, std::vector<Index>(8, 0)), OptionError);
}
