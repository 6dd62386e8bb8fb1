// SPDX-License-Identifier: MIT
#include "crate/text/word_piece.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/io/formats/text_file.hpp"
#include "crate/text/read_tokeniser.hpp"
#include "crate/text/streaming_decoder.hpp"
#include "crate/text/tokeniser.hpp"
#include "crate/text/train_word_piece.hpp"
#include "text/oracle_cases.hpp"

namespace {

using namespace crate;
using namespace std::string_literals;
using crate::test::fixtures;
using crate::test::message_of;
using Ids = std::vector<TokenId>;
using Words = std::vector<std::string>;

const WordPiece& bert() {
  static const WordPiece tokeniser = read_word_piece(fixtures / "bert-wordpiece" / "vocab.txt");
  return tokeniser;
}

Words bert_words_of(const std::string& text, bool lower_case = true) {
  Words words;
  detail::BertWords(lower_case).for_each(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

TEST_CASE("text has the ids of BERT's uncased tokeniser") {
  const auto cases = test::read_oracle_cases("bert");
  REQUIRE(cases.size() > 600);
  CHECK(test::wrongly_encoded(bert(), cases) == Words{});
  CHECK(bert().encode("unaffable embeddings") == Ids{14477, 20961, 3468, 7861, 8270, 4667, 2015});
}

TEST_CASE("text has the ids of BERT's cased tokeniser") {
  const WordPiece cased(bert().tokens(), {.lower_case = false});
  const auto cases = test::read_oracle_cases("bert_cased");
  REQUIRE(cases.size() > 600);
  CHECK(test::wrongly_encoded(cased, cases) == Words{});
}

TEST_CASE("words are cleaned, and parted at white space, punctuation and ideographs") {
  CHECK(bert_words_of("A\tb\nc\u00A0d\u2028e\u3000f") == Words{"a", "b", "c", "d", "e", "f"});
  CHECK(bert_words_of("a\0b\x01\x7F\u200B\uFFFD\uE000\u0378z"s) ==
        Words{"abz"});  // NUL, control, format, private, unassigned
  CHECK(bert_words_of("don't $5-6") == Words{"don", "'", "t", "$", "5", "-", "6"});
  CHECK(bert_words_of("\u00BFqu\u00E9?") == Words{"\u00BF", "que", "?"});
  CHECK(bert_words_of("a\u4E2D\u6587b") == Words{"a", "\u4E2D", "\u6587", "b"});
  CHECK(bert_words_of("\u30AB\u30CA \uD55C") == Words{"\u30AB\u30CA", "\u1112\u1161\u11AB"});  // no ideographs
  CHECK(bert_words_of("").empty());
}

TEST_CASE("letters are lowered and lose their accents where the vocabulary is uncased") {
  CHECK(bert_words_of("\u00C5NGSTR\u00D6M \u0130I\u0131 e\u0301\u0323 \u1E9E") ==
        Words{"angstrom", "ii\u0131", "e", "\u00DF"});
  CHECK(bert_words_of("\u00C5ngstr\u00F6m e\u0301", false) == Words{"\u00C5ngstr\u00F6m", "e\u0301"});
}

TEST_CASE("marks that are no accents stay, in their canonical order") {
  CHECK(bert_words_of("a\u302E\u0301\U0001D165") == Words{"a\U0001D165\u302E"});
}

TEST_CASE("a sigma that ends a word has its final form") {
  CHECK(bert_words_of("\u039F\u0394\u039F\u03A3 \u03A3\u03A3 \u03A3") ==
        Words{"\u03BF\u03B4\u03BF\u03C2", "\u03C3\u03C2", "\u03C3"});
  CHECK(bert_words_of("A\u03A3'") == Words{"a\u03C2", "'"});
  CHECK(bert_words_of("A\u03A3'B") == Words{"a\u03C3", "'", "b"});  // apostrophes are within words
}

TEST_CASE("bytes that are no UTF-8 are dropped") {
  CHECK(bert().encode("he\xFFllo\xE2\x82 wor\xED\xA0\x80ld\xC3") == bert().encode("hello world"));
  CHECK(bert().encode("\xFF\xFE").empty());
}

TEST_CASE("a word of more than a hundred characters is unknown") {
  std::string word;
  for (int i = 0; i < 100; ++i) word += "\u00E9";
  CHECK(bert().encode(word) != Ids{100});
  CHECK(bert().encode(word + "e") == Ids{100});
  CHECK(bert().encode(word + "e, a") == Ids{100, 1010, 1037});
  const WordPiece longer(bert().tokens(), {.longest_word = 200});
  CHECK(longer.encode(word + "e") != Ids{100});
}

TEST_CASE("a word that no pieces make is unknown as a whole") {
  const WordPiece tokeniser({"[UNK]", "ab", "##c", "a", "##b"});
  CHECK(tokeniser.encode("ab abc acb abb") == Ids{1, 1, 2, 3, 2, 4, 1, 4});
  CHECK(tokeniser.encode("abd c ##b") == Ids{0, 0, 0, 0, 0});
  CHECK(tokeniser.decode(Ids{1, 2, 3, 0}) == "abc a [UNK]");
}

TEST_CASE("a megabyte without a blank takes no quadratic time") {
  std::string marks = "a";
  for (int i = 0; i < 100000; ++i) marks += "\u0301\u0323";  // accents that change places
  CHECK(bert().encode(marks) == Ids{1037});
  CHECK(bert().encode(std::string(1000000, 'a')) == Ids{100});
  CHECK(bert().encode(std::string(300000, '!')).size() == 300000);
}

TEST_CASE("special tokens of a WordPiece are text unless asked for") {
  CHECK(bert().encode("[MASK]") == Ids{1031, 7308, 1033});
  CHECK(bert().encode_with_special_tokens("[MASK]a [SEP][X]") == Ids{103, 1037, 102, 1031, 1060, 1033});
  CHECK(in_sentence(bert(), bert().encode("a")) == Ids{101, 1037, 102});
  CHECK(in_sentence(bert(), {}) == Ids{101, 102});
  CHECK(bert().special_tokens().mask == 103);
  CHECK(bert().special_tokens().padding == 0);
  CHECK_THROWS_AS(in_sentence(WordPiece({"[UNK]"}), {}), VocabularyError);
}

TEST_CASE("words stream as they decode") {
  const Tokeniser tokeniser(bert());
  const Ids ids = tokeniser.encode("Unaffable tokenization, \u00FCber \U0001F600!");
  StreamingDecoder decoder(tokeniser);
  std::string streamed;
  for (const TokenId id : ids) streamed += decoder.next(id);
  CHECK(streamed + decoder.finish() == tokeniser.decode(ids));
  CHECK(tokeniser.decode(ids) == "unaffable tokenization , uber [UNK] !");
  const auto behind = [&](std::string_view before) { return StreamingDecoder(tokeniser, before).next(ids.front()); };
  CHECK(behind("").front() == 'u');
  CHECK(behind("an") == " " + behind(""));
  CHECK(behind("an ") == behind(""));
}

TEST_CASE("of a token that stands twice the later counts, and an unknown one there must be") {
  CHECK(WordPiece({"a", "[UNK]", "a"}).encode("a") == Ids{2});
  CHECK(message_of<VocabularyError>([] { WordPiece({"a"}); }) == "tokens: expected [UNK] among them, found none");
  CHECK_THROWS_AS(WordPiece({"[UNK]"}, {.longest_word = 0}), OptionError);
}

TEST_CASE("pieces of words are learned from a text") {
  const Words learned =
      train_word_piece("abc abc ABC xbc, \u00E9", {.vocabulary_size = 100, .smallest_count = 1}).tokens();
  const Words expected = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##b", "##c",
                          "a",     ",",     "e",     "x",     "##bc",   "abc", "xbc"};
  CHECK(learned == expected);
  const WordPiece cased = train_word_piece("Ab Ab ab \u00E9\u00E9", {.smallest_count = 2, .lower_case = false});
  CHECK(cased.tokens() == Words{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "##b", "A", "Ab"});
  CHECK_FALSE(cased.options().lower_case);
  CHECK(cased.special_tokens().mask == 4);
}

TEST_CASE("words too long to be made of pieces give none to a vocabulary that is learned") {
  const std::string too_long(101, 'z'), longest(100, 'y');
  const auto pieces = train_word_piece(too_long + " " + too_long + " " + longest, {.smallest_count = 1}).tokens();
  const auto has = [&](std::string_view piece) {
    return std::find(pieces.begin(), pieces.end(), piece) != pieces.end();
  };
  CHECK_FALSE(has("z"));
  CHECK(has("y"));
}

TEST_CASE("words that a text repeats become whole pieces, and all its characters are known") {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "Unaffable \u6587\u5B57 na\u00EFve \u03B1\u03B2\u03B3, the embedding's end.\n";
  const WordPiece tokeniser = train_word_piece(text, {.vocabulary_size = 200});
  CHECK(tokeniser.vocabulary_size() <= 200);
  CHECK(tokeniser.tokens() == train_word_piece(text, {.vocabulary_size = 200}).tokens());
  CHECK(tokeniser.encode("unaffable NAIVE \u03B1\u03B2\u03B3 embedding").size() == 4);
  CHECK(tokeniser.decode(tokeniser.encode("end \u03B1\u03B3 fab")) ==
        "end \u03B1\u03B3 [UNK]");  // no word begins with f
}

TEST_CASE("a vocabulary of pieces has the size asked for, the most frequent characters first") {
  CHECK(train_word_piece("a b b a b", {.vocabulary_size = 6}).tokens().back() == "b");
  CHECK(train_word_piece("").vocabulary_size() == 5);
  CHECK(message_of<OptionError>([] { static_cast<void>(train_word_piece("a", {.vocabulary_size = 5})); }) ==
        "option: expected vocabulary_size >= 6, five special tokens and a character, found 5");
}

}  // namespace
