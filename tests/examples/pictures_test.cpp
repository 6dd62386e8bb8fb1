// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "compress_tokens/pictures.hpp"
#include "crate/core/random.hpp"
#include "draw.hpp"

using namespace compress_tokens;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Tokens about their class's centre, all far from 0 in one direction.
crate::Matrix<double> tokens_of_classes(const std::vector<crate::Index>& classes) {
  crate::Random random(3);
  crate::Matrix<double> tokens = 0.2 * crate::test::draw_normal(random, 8, static_cast<crate::Index>(classes.size()));
  tokens.row(7).array() += 50;
  for (std::size_t i = 0; i < classes.size(); ++i) tokens(classes[i], static_cast<crate::Index>(i)) += 3;
  return tokens;
}

}  // namespace

TEST_CASE("the picture of similarity shows classes although tokens lie far from 0") {
  std::vector<crate::Index> classes;
  for (crate::Index i = 0; i < 60; ++i) classes.push_back(i % 3);
  const crate::Matrix<double> tokens = tokens_of_classes(classes);
  const plots::HeatMap plot = similarity_plot(tokens, tokens, {"class", classes, {"a", "b", "c"}});
  const crate::Matrix<double>& cosines = plot.maps[0].values;
  REQUIRE(cosines.rows() == 60);
  REQUIRE(cosines.block(0, 0, 20, 20).mean() > 0.9);
  REQUIRE(cosines.block(0, 20, 20, 20).mean() < 0.6);
  REQUIRE(cosines.maxCoeff() <= 1 + 1e-12);
  REQUIRE(plot.marks->of_rows.front() == 0);
  REQUIRE(plot.marks->of_rows.back() == 2);
  REQUIRE_THAT(plots::svg(plot), ContainsSubstring("60 of 60 tokens, by class"));
}

TEST_CASE("a token that is the mean of all is similar to none") {
  crate::Matrix<double> tokens(2, 3);
  tokens << 1, 2, 3, 1, 2, 3;
  const plots::HeatMap plot = similarity_plot(tokens, tokens, numbered_groups("subspace", {0, 0, 0}, 1));
  REQUIRE(plot.maps[0].values.row(1).isZero());
  REQUIRE(plot.maps[0].values(0, 2) == Catch::Approx(1));
}

TEST_CASE("of many tokens the picture shows some of each group, in proportion") {
  std::vector<crate::Index> groups;
  for (crate::Index i = 0; i < 1000; ++i) groups.push_back(i % 10 == 0 ? 1 : 0);
  crate::Random random(4);
  const crate::Matrix<double> tokens = crate::test::draw_normal(random, 5, 1000);
  const plots::HeatMap plot = similarity_plot(tokens, tokens, numbered_groups("subspace", groups, 2));
  REQUIRE(plot.maps[0].values.rows() == 192);
  REQUIRE(std::count(plot.marks->of_rows.begin(), plot.marks->of_rows.end(), 1) == 19);
}

TEST_CASE("the picture of the layers has the names of their table") {
  crate::WhiteBoxReport report;
  report.half_layers = {{.name = "input", .rate = 3, .subspace_rate = 2, .non_zero = 1},
                        {.name = "1 compress", .rate = 2, .subspace_rate = 1, .non_zero = 0.5}};
  const std::string text = plots::svg(layer_figure(report));
  for (const char* const name : {">R(Z)<", ">R^c(U)<", ">R - R^c(Pi)<", ">input<", ">1 compress<", ">nats per token<"})
    REQUIRE_THAT(text, ContainsSubstring(name));
  REQUIRE_THAT(text, !ContainsSubstring(">separation<"));
  for (crate::WhiteBoxMeasures& row : report.half_layers) row.classes = {.separation = 2, .nearest_neighbour = 1};
  REQUIRE_THAT(plots::svg(layer_figure(report)), ContainsSubstring("within a class"));
}

TEST_CASE("classes that are infinitely well apart leave a picture of the layers without them") {
  crate::WhiteBoxReport report;
  report.half_layers = {{.name = "input"}, {.name = "1 compress"}};
  for (crate::WhiteBoxMeasures& row : report.half_layers)
    row.classes = {.separation = std::numeric_limits<double>::infinity(), .nearest_neighbour = 1};
  REQUIRE_THAT(plots::svg(layer_figure(report)), !ContainsSubstring("within a class"));
}

TEST_CASE("a photograph stands beside what was decoded of it") {
  const crate::PatchGrid grid = {.rows = 1, .columns = 2, .height = 2, .width = 2, .channels = 3};
  const crate::Image image = {2, 4, 3, std::vector<std::uint8_t>(24, 100)};
  const std::string text = plots::svg(photograph_row(image, image, 0.25, numbered_groups("subspace", {0, 1}, 2), grid));
  for (const char* const name : {">before<", "decoded from 0.250 bits per pixel", ">subspace 2<"})
    REQUIRE_THAT(text, ContainsSubstring(name));
}
