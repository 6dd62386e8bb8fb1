// SPDX-License-Identifier: MIT
#include <initializer_list>
#include <numeric>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/core/random.hpp"
#include "crate/text/byte_tokeniser.hpp"
#include "crate/text/character_tokeniser.hpp"
#include "crate/text/streaming_decoder.hpp"

namespace {

using namespace crate;
using namespace std::string_literals;
using crate::test::message_of;
using Ids = std::vector<TokenId>;

std::string all_bytes() {
  std::string bytes(256, '\0');
  std::iota(bytes.begin(), bytes.end(), '\0');
  return bytes;
}

TEST_CASE("bytes are their own ids and come back") {
  const ByteTokeniser bytes;
  CHECK(bytes.encode("").empty());
  CHECK(bytes.encode("a\xFF\0"s) == Ids{97, 255, 0});
  CHECK(bytes.decode(bytes.encode(all_bytes())) == all_bytes());
  CHECK(bytes.vocabulary_size() == 256);
}

TEST_CASE("an id beyond the vocabulary is refused and said") {
  CHECK(message_of<VocabularyError>([] {
          static_cast<void>(ByteTokeniser().decode(Ids{0, 256}));
        }) == "token id: expected 0 to 255, found 256");
  CHECK(message_of<VocabularyError>([] { static_cast<void>(CharacterTokeniser("ab").decode(Ids{-1})); }) ==
        "token id: expected 0 to 1, found -1");
}

TEST_CASE("characters are numbered by their code points, as they first come or not") {
  const CharacterTokeniser characters("b\u00E9a\U0001F600b\n");
  CHECK(characters.characters() == std::vector<char32_t>{'\n', 'a', 'b', 0xE9, 0x1F600});
  CHECK(characters.encode("ab\U0001F600\u00E9") == Ids{1, 2, 4, 3});
  CHECK(characters.decode(Ids{4, 0, 3}) == "\U0001F600\n\u00E9");
  CHECK(characters.vocabulary_size() == 5);
}

TEST_CASE("a character that the vocabulary lacks is named with its place") {
  const CharacterTokeniser characters("ab");
  CHECK(message_of<VocabularyError>([&] { static_cast<void>(characters.encode("ab\u00E9")); }) ==
        "text: expected characters of a vocabulary of 2, found U+00E9 at byte 2");
  CHECK(message_of<VocabularyError>([&] { static_cast<void>(characters.encode("a\xFF")); }) ==
        "text: expected characters of a vocabulary of 2, found U+FFFD at byte 1");
  CHECK(CharacterTokeniser("").vocabulary_size() == 0);
  CHECK(CharacterTokeniser("").encode("").empty());
}

TEST_CASE("characters are characters, each once") {
  CHECK_THROWS_AS(CharacterTokeniser(std::vector<char32_t>{'a', 'b', 'a'}), VocabularyError);
  CHECK_THROWS_AS(CharacterTokeniser(std::vector<char32_t>{0xD800}), VocabularyError);
  CHECK_THROWS_AS(CharacterTokeniser(std::vector<char32_t>{0x110000}), VocabularyError);
}

TEST_CASE("bytes that are no UTF-8 count as one U+FFFD for as many as could have begun a character") {
  const CharacterTokeniser characters("x\uFFFD");
  const auto count = [&](const std::string& text) { return characters.encode(text).size(); };
  CHECK(count("\x80x") == 2);             // continues nothing
  CHECK(count("\xC0\x80") == 2);          // longer than need be
  CHECK(count("\xED\xA0\x80") == 3);      // half of a pair
  CHECK(count("\xF4\x90\x80\x80") == 4);  // beyond U+10FFFF
  CHECK(count("\xF0\x9F\x98x") == 2);     // cut off by another
  CHECK(count("\xE2\x82") == 1);          // cut off by the end
  CHECK(count("\xFE\xFF") == 2);          // never in UTF-8
  CHECK(valid_utf8("\xE2\x82x\xF0\x9F") == "\uFFFDx\uFFFD");
}

/// Texts of whole characters, of pieces of such, and of any bytes.
std::string draw_text(Random& random) {
  const std::vector<std::string> parts = {"a",        "\u00E9", "\u20AC",   "\U0001F600", "\xE2",
                                          "\xF0\x9F", "\x80",   "\xED\xA0", "\xFF"};
  std::string text;
  for (Index i = 0; i < 12; ++i)
    text += parts[static_cast<std::size_t>(random.below(static_cast<Index>(parts.size())))];
  return text;
}

TEST_CASE("a streaming decoder hands out whole characters, and together the whole text") {
  Random random(1);
  const ByteTokeniser bytes;
  for (int trial = 0; trial < 500; ++trial) {
    const std::string text = draw_text(random);
    StreamingDecoder decoder(bytes);
    std::string streamed;
    bool whole = true;
    for (const TokenId id : bytes.encode(text)) {
      const std::string next = decoder.next(id);
      whole = whole && valid_utf8(next) == next;
      streamed += next;
    }
    CHECK(whole);
    streamed += decoder.finish();
    CHECK(streamed == valid_utf8(text));
    CHECK(decoder.finish().empty());
  }
}

TEST_CASE("a streaming decoder hands out a character with its last byte, and not before") {
  const ByteTokeniser bytes;
  StreamingDecoder decoder(bytes);
  CHECK(decoder.next('a') == "a");
  CHECK(decoder.next(0xE2) == "");
  CHECK(decoder.next(0x82) == "");
  CHECK(decoder.next(0xAC) == "\u20AC");
  CHECK(decoder.next(0xE2) == "");
  CHECK(decoder.next('b') ==
        "\uFFFD"
        "b");
  CHECK(decoder.next(0xC3) == "");
  CHECK(decoder.finish() == "\uFFFD");
  CHECK(decoder.next('c') == "c");
}

}  // namespace
