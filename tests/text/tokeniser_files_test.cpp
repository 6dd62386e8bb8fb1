// SPDX-License-Identifier: MIT
#include <filesystem>
#include <string>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/core/random.hpp"
#include "crate/text/read_tokeniser.hpp"
#include "crate/text/train_byte_level_bpe.hpp"
#include "crate/text/write_tokeniser.hpp"
#include "io/temporary_folder.hpp"
#include "text/oracle_cases.hpp"

namespace {

using namespace crate;
using Catch::Matchers::ContainsSubstring;
using crate::test::content_of;
using crate::test::fixtures;
using crate::test::message_of;
using crate::test::TemporaryFolder;
using crate::test::write_content;
using Ids = std::vector<TokenId>;

std::string refusal(const std::filesystem::path& folder, TokeniserKind kind) {
  return message_of<FileError>([&] { static_cast<void>(read_tokeniser(folder, kind)); });
}

/// A vocabulary of the bytes, and more entries behind them.
std::string vocabulary_with(const std::string& more) {
  const std::string bytes = content_of(fixtures / "gpt2-bpe" / "encoder.json");
  return bytes.substr(0, bytes.find(", \"\\u0120t\": 256")) + more + "}";
}

TEST_CASE("a learned encoding is written and read again") {
  const TemporaryFolder folder;
  const std::string text = "the cat, the mat\n\n na\u00EFve \U0001F600 the end \x80\xFF the rest of it";
  const ByteLevelBpe learned = train_byte_level_bpe(text, {.vocabulary_size = 300, .smallest_count = 1});
  write_tokeniser(folder.path() / "new" / "folder", Tokeniser(learned));
  const Tokeniser read = read_tokeniser(folder.path() / "new" / "folder", TokeniserKind::bpe);
  CHECK(read.encode(text) == learned.encode(text));
  CHECK(read.encode(text).size() < text.size() / 2);
  CHECK(std::get<ByteLevelBpe>(read.any()).tokens() == learned.tokens());
  CHECK(read.special_tokens().end_of_text == learned.vocabulary_size() - 1);
  CHECK(content_of(folder.path() / "new" / "folder" / "merges.txt").starts_with("#version: 0.2\n"));
}

TEST_CASE("GPT-2's files are written as they were published") {
  const TemporaryFolder folder;
  write_tokeniser(folder.path(), read_tokeniser(fixtures / "gpt2-bpe", TokeniserKind::gpt2));
  CHECK(content_of(folder.file("merges.txt")) == content_of(fixtures / "gpt2-bpe" / "vocab.bpe"));
  const auto json = [](const std::filesystem::path& path) { return nlohmann::json::parse(content_of(path)); };
  CHECK(json(folder.file("vocab.json")) == json(fixtures / "gpt2-bpe" / "encoder.json"));
}

TEST_CASE("characters and BERT's vocabulary are written and read again") {
  const TemporaryFolder folder;
  const CharacterTokeniser characters("a\"\\\n\u00E9\U0001F600\x7F");
  write_tokeniser(folder.path(), Tokeniser(characters));
  const Tokeniser read = read_tokeniser(folder.path(), TokeniserKind::characters);
  CHECK(std::get<CharacterTokeniser>(read.any()).characters() == characters.characters());

  const WordPiece bert = read_word_piece(fixtures / "bert-wordpiece" / "vocab.txt");
  write_tokeniser(folder.path(), Tokeniser(bert));
  CHECK(content_of(folder.file("vocab.txt")) == content_of(fixtures / "bert-wordpiece" / "vocab.txt"));
  write_tokeniser(folder.path(), Tokeniser(ByteTokeniser()));  // needs no file
}

TEST_CASE("RoBERTa's ids are its vocabulary's, with sentences between <s> and </s>") {
  const TemporaryFolder folder;
  write_content(folder.file("vocab.json"),
                vocabulary_with(R"(, "he": 256, "<s>": 257, "<pad>": 258, "</s>": 259, "<unk>": 260, "<mask>": 261)"));
  write_content(folder.file("merges.txt"), "h e\n");
  const Tokeniser roberta = read_tokeniser(folder.path(), TokeniserKind::roberta);
  CHECK(in_sentence(roberta, roberta.encode("he<s>")) == Ids{257, 256, 27, 82, 29, 259});
  CHECK(roberta.encode_with_special_tokens("<mask>he") == Ids{261, 256});
  // The mask takes the blanks before it, not those behind it; others take none.
  CHECK(roberta.encode_with_special_tokens("he <mask> he") == Ids{256, 261, 220, 256});
  CHECK(roberta.encode_with_special_tokens("he\u3000\n <mask>") == Ids{256, 261});
  CHECK(roberta.encode_with_special_tokens("he <s>") == Ids{256, 220, 257});
  const SpecialTokens special = roberta.special_tokens();
  CHECK(special.padding == 258);
  CHECK(special.mask == 261);
  CHECK(special.unknown == 260);
  CHECK_THAT(refusal(folder.path(), TokeniserKind::gpt2),
             ContainsSubstring("expected the token <|endoftext|> of gpt2, found none"));
  CHECK_THAT(refusal(fixtures / "gpt2-bpe", TokeniserKind::roberta),
             ContainsSubstring("expected the token <s> of roberta, found none"));
}

TEST_CASE("the ids of RoBERTa are those of GPT-2 by another numbering") {
  const Tokeniser gpt2 = read_tokeniser(fixtures / "gpt2-bpe", TokeniserKind::gpt2);
  const auto& own = std::get<ByteLevelBpe>(gpt2.any());
  const auto renumbered = [&](TokenId id) { return static_cast<TokenId>(own.vocabulary_size()) - 1 - id; };
  std::vector<std::string> tokens(own.tokens().rbegin(), own.tokens().rend());
  std::vector<TokenPair> merges;
  for (const auto [left, right] : own.merges()) merges.push_back({renumbered(left), renumbered(right)});
  const ByteLevelBpe other(tokens, merges);
  bool equal = true;
  for (const auto& [text, ids] : test::read_oracle_cases("gpt2")) {
    Ids expected = ids;
    for (TokenId& id : expected) id = renumbered(id);
    equal = equal && other.encode(text) == expected;
  }
  CHECK(equal);
}

TEST_CASE("missing files are named, and no others") {
  const TemporaryFolder folder;
  const std::string start = "file '" + folder.path().string() + "': expected a folder with the tokeniser ";
  CHECK(refusal(folder.path(), TokeniserKind::gpt2) ==
        start + "gpt2, found no vocab.json (or encoder.json) and no merges.txt (or vocab.bpe)");
  CHECK(refusal(folder.path(), TokeniserKind::bert) == start + "bert, found no vocab.txt");
  CHECK(refusal(folder.path(), TokeniserKind::characters) == start + "characters, found no characters.json");
  write_content(folder.file("vocab.json"), "{}");
  CHECK(refusal(folder.path(), TokeniserKind::roberta) == start + "roberta, found no merges.txt (or vocab.bpe)");
  std::filesystem::rename(folder.file("vocab.json"), folder.file("vocab.bpe"));
  CHECK(refusal(folder.path(), TokeniserKind::bpe) == start + "bpe, found no vocab.json (or encoder.json)");
  CHECK_THAT(refusal(folder.file("none"), TokeniserKind::bert),
             ContainsSubstring("found nothing there; it needs vocab.txt"));
  CHECK_THAT(refusal(folder.file("vocab.bpe"), TokeniserKind::gpt2),
             ContainsSubstring("found no folder; it needs vocab.json (or encoder.json) and merges.txt (or vocab.bpe)"));
  CHECK_NOTHROW(read_tokeniser("", TokeniserKind::bytes));
}

TEST_CASE("a vocabulary that is none is refused, saying why") {
  const TemporaryFolder folder;
  write_content(folder.file("merges.txt"), "");
  const auto refused = [&](const std::string& vocabulary) {
    write_content(folder.file("vocab.json"), vocabulary);
    return refusal(folder.path(), TokeniserKind::bpe);
  };
  CHECK_THAT(refused(""), ContainsSubstring("expected a JSON object of tokens and ids, found an empty file"));
  CHECK_THAT(refused("[1]"), ContainsSubstring("expected an object of tokens and ids, found an array"));
  CHECK_THAT(refused("7"), ContainsSubstring("expected an object of tokens and ids, found 7"));
  CHECK_THAT(refused("{\"a\": 0"), ContainsSubstring("expected JSON, found an error at byte 8"));
  CHECK_THAT(refused("{\"a\": -1}"), ContainsSubstring("token 'a': expected an id, found -1"));
  CHECK_THAT(refused("{\"a\": {\"b\": 1}}"), ContainsSubstring("token 'a': expected an id, found an object"));
  CHECK_THAT(refused("{\"a\": \"b\"}"), ContainsSubstring("token 'a': expected an id, found 'b'"));
  CHECK_THAT(refused("{\"a\": 0.5}"), ContainsSubstring("token 'a': expected an id, found '0.5'"));
  CHECK_THAT(refused("{\"a\": 1}"), ContainsSubstring("token 'a': expected ids from 0 to 0, each once, found 1"));
  CHECK_THAT(refused("{\"a\": 0, \"b\": 0}"),
             ContainsSubstring("token 'b': expected ids from 0 to 1, each once, found 0 again"));
  CHECK_THAT(refused("{\"a\": 18446744073709551615}"), ContainsSubstring("each once, found 18446744073709551615"));
  CHECK_THAT(refused("{\"a\": 0}"), ContainsSubstring("expected one for each of the 256 bytes, found none for byte 0"));
  CHECK_THAT(refused("{\"a\xFF\": 0}"), ContainsSubstring("expected JSON"));
  CHECK(refused(vocabulary_with("")) == "threw nothing");
}

TEST_CASE("merges that do not fit their vocabulary are refused by line") {
  const TemporaryFolder folder;
  write_content(folder.file("vocab.json"), vocabulary_with(", \"ab\": 256"));
  const auto refused = [&](const std::string& merges) {
    write_content(folder.file("merges.txt"), merges);
    return refusal(folder.path(), TokeniserKind::bpe);
  };
  const std::string expected = ": expected two tokens of the vocabulary, found ";
  CHECK_THAT(refused("#version: 0.2\na b\nx yz\n"), ContainsSubstring("line 3" + expected + "'x yz'"));
  CHECK_THAT(refused("ab\n"), ContainsSubstring("line 1" + expected + "'ab'"));
  CHECK_THAT(refused("a b\n\n# #\n"), ContainsSubstring("line 2" + expected + "''"));
  CHECK_THAT(refused("# #\n"), ContainsSubstring("expected a token for the merge of"));
  CHECK_THAT(refused("a b\na b\n"), ContainsSubstring("merges: expected each once"));
  CHECK(refused("a b\r\n\r\n") == "threw nothing");
}

TEST_CASE("a cut or changed file is refused or read, and nothing else") {
  const TemporaryFolder folder;
  const Tokeniser learned(train_byte_level_bpe("abab cdcd abab", {.vocabulary_size = 262}));
  write_tokeniser(folder.path(), learned);
  Random random(5);
  for (const char* const name : {"vocab.json", "merges.txt"}) {
    const std::string whole = content_of(folder.file(name));
    for (int trial = 0; trial < 200; ++trial) {
      std::string damaged = whole.substr(0, static_cast<std::size_t>(random.below(static_cast<Index>(whole.size()))));
      if (trial % 2 == 0) {
        damaged = whole;
        damaged[static_cast<std::size_t>(random.below(static_cast<Index>(whole.size())))] =
            static_cast<char>(random.below(256));
      }
      write_content(folder.file(name), damaged);
      const std::string refused = refusal(folder.path(), TokeniserKind::bpe);
      CHECK((refused == "threw nothing" || refused.starts_with("file ")));
    }
    write_content(folder.file(name), whole);
  }
}

TEST_CASE("a token of characters that stand for no byte is read and written as it is") {
  const TemporaryFolder folder;
  write_content(folder.file("vocab.json"), vocabulary_with(", \"<my token \u4E2D>\": 256, \"<\u00E9>\": 257"));
  write_content(folder.file("merges.txt"), "");
  const Tokeniser read = read_tokeniser(folder.path(), TokeniserKind::bpe);
  CHECK(read.decode(Ids{256, 257}) == "<my token \u4E2D><\xE9>");
  write_tokeniser(folder.path() / "again", read);
  const Tokeniser again = read_tokeniser(folder.path() / "again", TokeniserKind::bpe);
  CHECK(again.decode(Ids{256, 257}) == "<my token \u4E2D><\xE9>");
  CHECK_THAT(content_of(folder.path() / "again" / "vocab.json"), ContainsSubstring("\"<my token \u4E2D>\": 256"));
}

TEST_CASE("kinds have names") {
  for (const auto& [kind, name] : tokeniser_kinds) {
    CHECK(tokeniser_kind_named(name) == kind);
    CHECK(name_of(kind) == name);
  }
  CHECK(message_of<OptionError>([] { static_cast<void>(tokeniser_kind_named("gpt3")); }) ==
        "tokeniser: expected one of bytes, characters, gpt2, roberta, bert, bert-cased, bpe, found 'gpt3'");
}

}  // namespace
