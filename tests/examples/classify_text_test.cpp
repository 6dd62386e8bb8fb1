// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include "catch.hpp"
#include "classify_text/sentences.hpp"
#include "comparison.hpp"

using namespace classify_text;
using Catch::Matchers::ContainsSubstring;

namespace {

using Lines = std::vector<std::string>;

const Lines table = {"sentence\tlabel", "a good film\t1", "", "a bad film\t0"};
const Lines plain = {"sentence", "", "a good film"};

}  // namespace

TEST_CASE("of a table the sentences are read, with their classes and without header and blank lines") {
  const Sentences read = sentences_in(table, "table", "auto", {"0", "1"});
  REQUIRE(read.texts == Lines{"a good film", "a bad film"});
  REQUIRE(read.classes == Lines{"1", "0"});
  REQUIRE(read.lines == std::vector<std::size_t>{2, 4});
}

TEST_CASE("for a model that does not name its classes the sentences of a table are read without theirs") {
  const Sentences read = sentences_in(table, "table", "auto", {});
  REQUIRE(read.texts == Lines{"a good film", "a bad film"});
  REQUIRE(read.classes.empty());
}

TEST_CASE("a class of a table that is none of the model's is refused, with those that are") {
  const auto read = [] { static_cast<void>(sentences_in(table, "table", "auto", {"0", "good"})); };
  REQUIRE_THAT(crate::test::message_of<crate::FileError>(read),
               ContainsSubstring("line 2: ") && ContainsSubstring("of the model, 0 or good, found '1'"));
}

TEST_CASE("an answer about the header of a text without columns is refused") {
  REQUIRE(sentences_in(plain, "plain", "auto", {"0", "1"}).texts == Lines{"sentence", "a good film"});
  for (const char* const header : {"yes", "no"})
    REQUIRE(crate::test::message_of<crate::OptionError>([&] {
              static_cast<void>(sentences_in(plain, "plain", header, {"0", "1"}));
            }) == "option --header would have no effect: --text has no columns");
}

TEST_CASE("labels cannot be numbered by a model without names, and the refusal lists none") {
  const Sentences read = labelled_sentences_in(table, "table", "auto");
  REQUIRE(labels_of(read, {"0", "1"}, "table") == std::vector<crate::Index>{1, 0});
  REQUIRE(crate::test::message_of<crate::FileError>([&] { static_cast<void>(labels_of(read, {}, "table")); }) ==
          "file 'table': expected a model that names its classes, found one without names");
}
