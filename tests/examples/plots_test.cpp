// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "crate/io/pictures/image.hpp"
#include "plots/figure.hpp"

using namespace plots;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

std::vector<std::string> labels_of(const std::vector<Tick>& ticks) {
  std::vector<std::string> labels;
  for (const Tick& tick : ticks) labels.push_back(tick.label);
  return labels;
}

std::vector<std::string> linear(double low, double high) { return labels_of(detail::linear_ticks({low, high})); }

LinePlot rates() {
  return {"coding rates",
          {.label = "layer", .names = {"input", "1 compress"}},
          {.label = "nats per token"},
          {{"R", {0, 1}, {30, 25}}, {"R^c", {0, 1}, {20, 12}, {18, 11}, {21, 14}}}};
}

HeatMap two_maps() {
  crate::Matrix<double> values(2, 2);
  values << 1, 0.25, 0.25, 1;
  return {.title = "similarity", .maps = {{"before", values}, {"after", values}}, .value_label = "|cosine|"};
}

std::size_t occurrences(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("ticks are round numbers, with a unit where they are large or small") {
  REQUIRE(linear(0, 1) == std::vector<std::string>{"0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  REQUIRE(linear(-7, 4) == std::vector<std::string>{"−6", "−4", "−2", "0", "2", "4"});
  REQUIRE(linear(0, 45000) == std::vector<std::string>{"0", "10k", "20k", "30k", "40k"});
  REQUIRE(linear(0, 4e-5) == std::vector<std::string>{"0", "1·10⁻⁵", "2·10⁻⁵", "3·10⁻⁵", "4·10⁻⁵"});
  REQUIRE(labels_of(detail::logarithmic_ticks({900, 2e6})) == std::vector<std::string>{"1000", "10k", "100k", "1M"});
  REQUIRE(labels_of(detail::logarithmic_ticks({0.1, 3})) == std::vector<std::string>{"0.1", "0.2", "0.5", "1", "2"});
}

TEST_CASE("an axis of any range has ticks inside of it") {
  for (const auto& [low, high] :
       {std::pair{0.0, 0.0}, {5.0, 5.0}, {-1e300, 1e300}, {1e-300, 2e-300}, {1e15, 1e15 + 1}, {-3.0, 1e9}}) {
    const AxisScale scale({.label = "x"}, {low, high});
    REQUIRE(!scale.ticks().empty());
    for (const Tick& tick : scale.ticks()) {
      REQUIRE(scale.position(tick.value) >= -1e-6);
      REQUIRE(scale.position(tick.value) <= 1 + 1e-6);
    }
    REQUIRE(scale.position(low) < 1);
    REQUIRE(scale.position(high) > 0);
  }
}

TEST_CASE("a logarithmic axis places equal factors at equal distances") {
  const AxisScale scale({.label = "x", .scale = Scale::logarithmic}, {64, 1024});
  REQUIRE(scale.position(128) - scale.position(64) == Catch::Approx(scale.position(1024) - scale.position(512)));
  REQUIRE_THROWS_AS(AxisScale({.label = "x", .scale = Scale::logarithmic}, {0, 1}), crate::OptionError);
}

TEST_CASE("numbers are written without a locale, exponents or needless digits") {
  REQUIRE(coordinate(12.5) == "12.5");
  REQUIRE(coordinate(-0.001) == "0");
  REQUIRE(coordinate(1e21) == "1000000000000000000000");
  REQUIRE(short_number(28.749999) == "28.75");
  REQUIRE(short_number(-123456) == "−123.5k");
}

TEST_CASE("words are escaped, and what is no XML is replaced") {
  REQUIRE(xml_text("a < b & \"c\" > d") == "a &lt; b &amp; &quot;c&quot; &gt; d");
  REQUIRE(xml_text("ε\xFFz\x01\x1B") == "ε\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD");
  REQUIRE(xml_text("\xE2\x82") == "\xEF\xBF\xBD\xEF\xBF\xBD");
  LinePlot plot = rates();
  plot.title = "<script>";
  plot.series[0].name = "R & S";
  const std::string text = svg(plot);
  REQUIRE_THAT(text, !ContainsSubstring("<script>"));
  REQUIRE_THAT(text, ContainsSubstring(">R &amp; S</text>"));
}

TEST_CASE("a picture scales, tells what it shows, and follows the page's colours") {
  const std::string text = svg(rates());
  REQUIRE_THAT(text, ContainsSubstring("viewBox=\"0 0 420 320\""));
  REQUIRE_THAT(text, ContainsSubstring("role=\"img\""));
  REQUIRE_THAT(text, ContainsSubstring("<title>coding rates</title>"));
  REQUIRE_THAT(text, ContainsSubstring("R^c goes from 20 at input to 12 at 1 compress."));
  REQUIRE_THAT(text, ContainsSubstring("@media (prefers-color-scheme:dark)"));
  REQUIRE_THAT(text, !ContainsSubstring("white"));
  for (const std::string_view part : {"nats per token", ">layer<", ">1 compress<", "class=\"b1\""})
    REQUIRE_THAT(text, ContainsSubstring(std::string(part)));
}

TEST_CASE("a figure holds all of its plots, in rows") {
  const BarChart bars = {"speed", {"forward", "backward"}, {.label = "GFLOP/s"}, {{"float", {31, 25}}}};
  const Figure figure = {.title = "", .plots = {rates(), rates(), rates(), bars}, .columns = 3};
  const std::string text = svg(figure);
  REQUIRE(occurrences(text, ">coding rates</text>") == 3);
  REQUIRE_THAT(text, ContainsSubstring("viewBox=\"0 0 1260 "));
  REQUIRE_THAT(text, ContainsSubstring("float, backward: 25"));
}

TEST_CASE("numbers that are not finite are not drawn") {
  LinePlot plot = rates();
  plot.series[1].y[0] = std::nan("");
  REQUIRE_THROWS_AS(svg(plot), crate::PrecisionError);
  HeatMap map = two_maps();
  map.maps[1].values(0, 0) = infinite;
  REQUIRE_THROWS_AS(svg(map), crate::PrecisionError);
  REQUIRE_THROWS_AS(svg(BarChart{"", {"a"}, {}, {{"b", {infinite}}}}), crate::PrecisionError);
}

TEST_CASE("coordinates that do not fit each other are refused") {
  LinePlot plot = rates();
  plot.series[0].x.pop_back();
  REQUIRE_THROWS_AS(svg(plot), crate::ShapeError);
  plot = rates();
  plot.series[1].low.pop_back();
  REQUIRE_THROWS_AS(svg(plot), crate::ShapeError);
  HeatMap map = two_maps();
  map.marks = ClassMarks{{0, 0, 0}, {"a"}};
  REQUIRE_THROWS_AS(svg(map), crate::ShapeError);
  map.marks = ClassMarks{{0, 1}, {"a"}};
  REQUIRE_THROWS_AS(svg(map), crate::ShapeError);
  REQUIRE_THROWS_AS(svg(BarChart{"", {"a"}, {}, {{"b", {1, 2}}}}), crate::ShapeError);
}

TEST_CASE("colours need a range") {
  HeatMap map = two_maps();
  map.range = Range{1, 1};
  REQUIRE_THROWS_AS(svg(map), crate::OptionError);
}

TEST_CASE("a line is interrupted where a series begins anew") {
  LinePlot plot = rates();
  plot.series = {{"R", {0, 1, 1, 2}, {3, 2, 4, 1}, {2, 1, 3, 0}, {4, 3, 5, 2}, {2}}};
  plot.x.names = {};
  const std::string text = svg(plot);
  REQUIRE(occurrences(text, "class=\"line s0\"") == 2);
  REQUIRE(occurrences(text, "class=\"b0\"") == 2);
  plot.series[0].begins = {4};
  REQUIRE_THROWS_AS(svg(plot), crate::ShapeError);
}

TEST_CASE("the band of a single point is a bar") {
  LinePlot plot = rates();
  plot.series = {{"R", {0}, {3}, {2}, {4}}};
  REQUIRE_THAT(svg(plot), ContainsSubstring("<rect class=\"b0\""));
}

TEST_CASE("names stand at the ticks of an axis, and lines lie at its dividers") {
  const Axis axis = {.label = "layer", .ticks = {0.5, 2}, .names = {"1", "two"}, .dividers = {1, 1.5}};
  const AxisScale scale(axis, {0, 3});
  REQUIRE(labels_of(scale.ticks()) == std::vector<std::string>{"1", "two"});
  REQUIRE(scale.ticks()[0].value == 0.5);
  LinePlot plot = rates();
  const std::size_t lines = occurrences(svg(plot), "class=\"grid\"");
  plot.x.dividers = axis.dividers;
  REQUIRE(occurrences(svg(plot), "class=\"grid\"") == lines + 2);
  plot.x = axis;
  plot.series[0].x = {0.5, 2};
  REQUIRE_THAT(svg(plot), ContainsSubstring("R goes from 30 at 1 to 25 at two."));
  REQUIRE_THAT(svg(plot), ContainsSubstring("<title>R at two: 25</title>"));
  plot.series[0].name = "";
  REQUIRE_THAT(svg(plot), ContainsSubstring("<title>at two: 25</title>"));
  REQUIRE(wrapped("a model/of-a-long-name", 60, 12)[1].ends_with("…"));
  REQUIRE_THROWS_AS(AxisScale({.label = "layer", .ticks = {1}, .names = {"a", "b"}}, {0, 3}), crate::ShapeError);
}

TEST_CASE("rows and columns of a map have names where there is room for them") {
  HeatMap map = two_maps();
  map.row_names = {"first", "second"};
  map.column_names = {"1", "2"};
  const std::string text = svg(map);
  REQUIRE(occurrences(text, ">first</text>") == 1);
  REQUIRE(occurrences(text, ">1</text>") == 2);
  map.maps[1].values.resize(2, 3);
  map.maps[1].values.setZero();
  REQUIRE_THROWS_AS(svg(map), crate::ShapeError);
  map = {.title = "", .maps = {{"", crate::Matrix<double>::Zero(1, 400)}}, .value_label = ""};
  for (int i = 0; i < 400; ++i) map.column_names.push_back("layer");
  REQUIRE(occurrences(svg(map), ">layer</text>") < 8);
}

TEST_CASE("plots of nothing are drawn") {
  for (const Plot& plot : {Plot(LinePlot{}), Plot(HeatMap{}), Plot(BarChart{}), Plot(PictureRow{}),
                           Plot(LinePlot{.title = "", .x = {}, .y = {}, .series = {{"a", {}, {}}}})})
    REQUIRE_THAT(svg(plot), ContainsSubstring("</svg>"));
  REQUIRE_THAT(svg(Figure{}), ContainsSubstring("</svg>"));
}

TEST_CASE("an indexed PNG reads back as its colours") {
  const IndexedPicture picture = {2, 3, {0, 1, 2, 2, 1, 0}, {{255, 0, 1}, {2, 254, 3}, {4, 5, 253}}};
  const std::string png = png_of(picture);
  const crate::Image image = crate::parse_image(std::as_bytes(std::span(png)));
  REQUIRE(image.height == 2);
  REQUIRE(image.width == 3);
  REQUIRE(std::vector<int>(image.pixels.begin(), image.pixels.end()) ==
          std::vector<int>{255, 0, 1, 2, 254, 3, 4, 5, 253, 4, 5, 253, 2, 254, 3, 255, 0, 1});
  const IndexedPicture large = {300, 300, std::vector<std::uint8_t>(90000, 1), {{0, 0, 0}, {9, 8, 7}}};
  const std::string bytes = png_of(large);
  const crate::Image read = crate::parse_image(std::as_bytes(std::span(bytes)));
  REQUIRE(read.pixels[3 * 89999 + 2] == 7);
}

TEST_CASE("base64 is that of RFC 4648") {
  REQUIRE(base64("") == "");
  REQUIRE(base64("f") == "Zg==");
  REQUIRE(base64("fo") == "Zm8=");
  REQUIRE(base64("foo") == "Zm9v");
  REQUIRE(base64("foobar") == "Zm9vYmFy");
  REQUIRE(base64("\xFB\xFF") == "+/8=");
}

TEST_CASE("larger values have lighter colours") {
  const auto lightness = [](int level) {
    const Colour c = colour_of_level(level);
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
  };
  for (int level = 1; level < colour_levels; ++level) REQUIRE(lightness(level) > lightness(level - 1));
}

TEST_CASE("marks of classes lie along both edges of every map") {
  HeatMap map = two_maps();
  map.marks = ClassMarks{{1, 0}, {"cat", "dog"}};
  const std::string text = svg(map);
  REQUIRE(occurrences(text, "<title>cat</title>") == 4);
  REQUIRE(occurrences(text, ">dog</text>") == 1);
}
