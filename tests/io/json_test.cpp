// SPDX-License-Identifier: MIT
// JSON is read as RFC 8259 says, and what is written reads back.

#include "crate/io/detail/json.hpp"

#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"

namespace {

using namespace crate::detail;
using namespace crate::test;
using Event = JsonReader::Event;

/// The events, one letter each, with the texts and numbers.
std::string events_in(std::string_view json) {
  JsonReader reader(json);
  std::string events;
  for (Event event = reader.next(); event != Event::end; event = reader.next()) {
    constexpr std::string_view letters = "{}[]ktnb0";
    events += letters[static_cast<std::size_t>(event)];
    if (event == Event::key || event == Event::text || event == Event::number) events += reader.text() + ' ';
  }
  return events;
}

std::string text_in(std::string_view json) {
  JsonReader reader(json);
  CHECK(reader.next() == Event::text);
  std::string text = reader.text();
  CHECK(reader.next() == Event::end);
  return text;
}

}  // namespace

TEST_CASE("a JSON document is a sequence of events") {
  CHECK(events_in("{}") == "{}");
  CHECK(events_in(" [ ] \n") == "[]");
  CHECK(events_in(R"({"a":[1,-2.5e+3,true,false,null],"b":{"":"c"}})") == "{ka [n1 n-2.5e+3 bb0]kb {k tc }}");
  CHECK(events_in("[[[]],0]") == "[[[]]n0 ]");
  CHECK(events_in("3") == "n3 ");
}

TEST_CASE("texts are read without escapes, and written with those that they need") {
  CHECK(text_in(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(text_in(R"("\u0041\u00e9\u20AC\ud83d\uDE00")") == "A\u00e9\u20ac\U0001f600");
  CHECK(text_in("\"\u00e9\u20ac\U0001f600\"") == "\u00e9\u20ac\U0001f600");
  CHECK(text_in(R"("\u0000")") == std::string(1, '\0'));
  CHECK(json_text("a\"\\\n\x01\x7F\u00e9/") == "\"a\\\"\\\\\\n\\u0001\x7F\u00e9/\"");
  std::string every;
  for (int c = 0; c < 128; ++c) every += static_cast<char>(c);
  CHECK(text_in(json_text(every)) == every);
  CHECK(as_utf8("a\xFFz\xE2\x82\u00e9\xC0\xAF") == "a\uFFFDz\uFFFD\u00e9\uFFFD");
}

TEST_CASE("what is no JSON is refused at the byte where it stops being so") {
  for (const std::string_view json : {"",
                                      " ",
                                      "{",
                                      "}",
                                      "[",
                                      "]",
                                      "[1",
                                      "[1,]",
                                      "[,1]",
                                      "[1 2]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{\"a\":1 \"b\":2}",
                                      "{1:2}",
                                      "[}",
                                      "{]",
                                      "01",
                                      "-",
                                      "+1",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "0x1",
                                      "tru",
                                      "nulls",
                                      "True",
                                      "NaN",
                                      "'a'",
                                      "\"",
                                      "\"a",
                                      "\"\\\"",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\n\"",
                                      "\"\xFF\"",
                                      "\"\xC0\xAF\"",
                                      "\"\\ud800\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\udc00\"",
                                      "\"\xED\xA0\x80\"",
                                      "{}{}",
                                      "[1]]",
                                      "/**/1",
                                      "1 //"}) {
    INFO(json);
    CHECK_FALSE(is_json(json));
  }
  const auto refusal = [](std::string_view json) {
    return message_of<crate::Error>([&] { static_cast<void>(events_in(json)); });
  };
  CHECK(refusal("[1;2]") == "an error at byte 3: expected ',' or ']', found ';'");
  CHECK(refusal("{\"a\":") == "an error at byte 6: expected a value, found the end");
}

TEST_CASE("a million open brackets are no more than text") {
  const std::string deep(1'000'000, '[');
  CHECK_FALSE(is_json(deep));
  CHECK(is_json(deep + std::string(1'000'000, ']')));
}
