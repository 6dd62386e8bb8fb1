// SPDX-License-Identifier: MIT
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "inspect_model/findings.hpp"
#include "inspect_model/page.hpp"
#include "inspect_model/table.hpp"
#include "inspect_model/terms.hpp"

// What a page of inspect_model says of the numbers that it shows.

namespace {

using inspect_model::Measurement;

/// A model of one layer a rate, through which two examples went.
Measurement measurement(const std::string& name, const std::vector<double>& rates) {
  Measurement one{.model = name, .data = "test", .kind = "a model", .parameters = 1, .examples = 2};
  for (std::size_t l = 0; l < rates.size(); ++l) {
    crate::LayerMetrics layer{.name = "layers." + std::to_string(l) + ".compress"};
    layer.before.published_rate.add(rates[l]);
    layer.before.non_zero.add(1);
    one.layers.push_back(layer);
  }
  return one;
}

std::string over_depth(const std::vector<Measurement>& all) {
  return inspect_model::finding_over_depth(
      all, 1, " nats",
      [](const crate::LayerMetrics& layer) -> const crate::Spread& { return layer.before.published_rate; });
}

TEST_CASE("a caption says which way a quantity goes, as far as its digits tell") {
  CHECK(over_depth({measurement("a", {5, 9, 3})}) == " Here it falls from 5 to 3 nats.");
  CHECK(over_depth({measurement("a", {-5, -3})}) == " Here it rises from −5 to −3 nats.");
  CHECK(over_depth({measurement("a", {5, 5 + 1e-9})}) == " Here it stays at 5 nats.");
  CHECK(over_depth({measurement("a", {5})}) == " Here it is 5 nats.");
  CHECK(over_depth({measurement("a", {5, 3}), measurement("b", {1, 2})}) ==
        " Here: a falls from 5 to 3 nats; b rises from 1 to 2 nats.");
}

TEST_CASE("a caption says nothing of what is not known") {
  CHECK(over_depth({measurement("a", {})}).empty());
  CHECK(over_depth({measurement("a", {5, std::numeric_limits<double>::quiet_NaN()})}).empty());
  CHECK(inspect_model::finding_of_steps({measurement("a", {5})}, 1, "", &crate::StepMetrics::cosine).empty());
}

TEST_CASE("a caption counts the layers for which something holds") {
  const auto all_count = [](const crate::LayerMetrics&) { return true; };
  const auto is_low = [](const crate::LayerMetrics& layer) { return layer.before.published_rate.mean() < 4; };
  CHECK(inspect_model::finding_of_layers({measurement("a", {5, 3, 2})}, "it is low", all_count, is_low) ==
        " Here it is low in 2 of 3 layers.");
  CHECK(inspect_model::finding_of_layers({measurement("a", {3}), measurement("b", {5, 6})}, "it is low", all_count,
                                         is_low) == " Here it is low: a in 1 of 1 layer; b in 0 of 2 layers.");
}

TEST_CASE("heads with fewer dimensions together than a token are said not to span the space") {
  Measurement one = measurement("a", {5});
  one.subspaces.push_back({.name = "layers.0.compress", .dim = 6, .heads = 2, .head_dim = 3});
  CHECK(inspect_model::outside_of_subspaces({one}).empty());
  one.subspaces[0].head_dim = 1;
  CHECK(inspect_model::outside_of_subspaces({one}).starts_with(
      " The 2 heads of 1 dimension of a together span at most 2 of the 6 dimensions of a token"));
}

TEST_CASE("tables show four digits and a true minus, and keep all digits for files") {
  inspect_model::Table table("numbers", {"what", "value"});
  table.add("small").add(-1.0 / 3).end_row();
  table.add("unknown").add(std::numeric_limits<double>::quiet_NaN()).end_row();
  table.add("count").add(123456).end_row();
  CHECK(table.rows()[0][1].shown == "−0.3333");
  CHECK(table.rows()[0][1].text == "-0.3333333333333333");
  CHECK(table.rows()[1][1].shown == "nan");
  CHECK(table.rows()[2][1].shown == "123456");
}

TEST_CASE("a page never breaks a line before a per cent sign, and is told which tables begin with words") {
  inspect_model::Page page("title", "introduction");
  page.section("section", "all of 100 %");
  page.terms({{"R", "a rate < 3"}});
  inspect_model::Table words("words", {"what", "value"}), numbers("numbers", {"unit", "text"});
  words.add("a").add(1).end_row();
  numbers.add(1).add("a").end_row();
  page.open_table(words, "words");
  page.open_table(numbers, "numbers");
  const std::string html = page.html();
  const auto holds = [&](const char* part) { return html.find(part) != std::string::npos; };
  CHECK(holds("100\u00a0%"));
  CHECK(holds("<dt>R</dt><dd>a rate &lt; 3</dd>"));
  CHECK(holds("<details class=\"row worded\" open=\"open\">\n<summary>words"));
  CHECK(holds("<details class=\"row numbered\" open=\"open\">\n<summary>numbers"));
  CHECK(holds("<th>what</th><th class=\"number\">value</th>"));
}

}  // namespace
