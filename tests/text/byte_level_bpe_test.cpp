// SPDX-License-Identifier: MIT
#include "crate/text/byte_level_bpe.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/core/random.hpp"
#include "crate/text/read_tokeniser.hpp"
#include "crate/text/streaming_decoder.hpp"
#include "crate/text/train_byte_level_bpe.hpp"
#include "text/oracle_cases.hpp"

namespace {

using namespace crate;
using namespace std::string_literals;
using crate::test::fixtures;
using crate::test::message_of;
using Ids = std::vector<TokenId>;
using Words = std::vector<std::string>;

const ByteLevelBpe& gpt2() {
  static const ByteLevelBpe tokeniser =
      read_byte_level_bpe(fixtures / "gpt2-bpe" / "encoder.json", fixtures / "gpt2-bpe" / "vocab.bpe");
  return tokeniser;
}

Words gpt2_words_of(std::string_view text) {
  Words words;
  while (!text.empty()) {
    words.emplace_back(text.substr(0, detail::gpt2_word_size(text)));
    text.remove_prefix(words.back().size());
  }
  return words;
}

std::vector<std::string> single_bytes() {
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.emplace_back(1, static_cast<char>(byte));
  return bytes;
}

std::string draw_bytes(Random& random, Index count) {
  std::string text;
  for (Index i = 0; i < count; ++i) text += static_cast<char>(random.below(256));
  return text;
}

TEST_CASE("text has the ids of GPT-2's tokeniser") {
  const auto cases = test::read_oracle_cases("gpt2");
  REQUIRE(cases.size() > 600);
  CHECK(test::wrongly_encoded(gpt2(), cases) == Words{});
  CHECK(gpt2().encode("caf\u00E9 \U0001F642") == Ids{66, 1878, 2634, 32485});
}

TEST_CASE("GPT-2's merges have the ids behind the bytes, and its vocabulary one special token") {
  const ByteLevelBpe& tokeniser = gpt2();
  CHECK(tokeniser.vocabulary_size() == 50257);
  CHECK(tokeniser.merges().size() == 50000);
  bool in_order = true;
  for (std::size_t i = 0; i < tokeniser.merges().size(); ++i) {
    const auto [left, right] = tokeniser.merges()[i];
    in_order = in_order && tokeniser.tokens()[256 + i] == tokeniser.tokens()[static_cast<std::size_t>(left)] +
                                                              tokeniser.tokens()[static_cast<std::size_t>(right)];
  }
  CHECK(in_order);
  CHECK(tokeniser.special_tokens().named == std::vector{std::pair("<|endoftext|>"s, TokenId{50256})});
  CHECK(tokeniser.special_tokens().end_of_text == 50256);
  CHECK_FALSE(tokeniser.special_tokens().mask);
}

TEST_CASE("the words are those of GPT-2's pattern") {
  CHECK(gpt2_words_of("it's we've I'LL don''t 's") ==
        Words{"it", "'s", " we", "'ve", " I", "'", "LL", " don", "''", "t", " '", "s"});
  CHECK(gpt2_words_of("'tis '") == Words{"'t", "is", " '"});
  CHECK(gpt2_words_of("a1b22 c") == Words{"a", "1", "b", "22", " c"});
  CHECK(gpt2_words_of("x\u0663\u2167\u00BD") == Words{"x", "\u0663\u2167\u00BD"});  // digits, numerals, fractions
  CHECK(gpt2_words_of("  a\n\n b\t\tc  ") == Words{" ", " a", "\n\n", " b", "\t", "\t", "c", "  "});
  CHECK(gpt2_words_of("a\u00A0\u00A0b\u3000") == Words{"a", "\u00A0", "\u00A0", "b", "\u3000"});  // blanks of Unicode
  CHECK(gpt2_words_of(" \u00A0.") == Words{" ", "\u00A0", "."});
  CHECK(gpt2_words_of("\u200B\x1C.") == Words{"\u200B\x1C."});  // which are none
  CHECK(gpt2_words_of("e\u0301 \xFF\x80.") ==
        Words{"e", "\u0301", " \xFF\x80."});  // marks, and bytes that are no UTF-8
}

TEST_CASE("any bytes come back exactly") {
  Random random(1);
  for (Index count = 0; count < 300; ++count) {
    const std::string text = draw_bytes(random, count);
    if (gpt2().decode(gpt2().encode(text)) != text) FAIL("lost some of " << count << " bytes");
  }
  const std::string word(100, 'x'), zeros(50, '\0');
  CHECK(gpt2().decode(gpt2().encode(word + zeros)) == word + zeros);
}

TEST_CASE("special tokens of a byte-level BPE are text unless asked for") {
  const std::string text = "a<|endoftext|>b<|endoftext|";
  CHECK(gpt2().encode(text) == Ids{64, 27, 91, 437, 1659, 5239, 91, 29, 65, 27, 91, 437, 1659, 5239, 91});
  CHECK(gpt2().encode_with_special_tokens(text) == Ids{64, 50256, 65, 27, 91, 437, 1659, 5239, 91});
  CHECK(gpt2().encode_with_special_tokens("<|endoftext|>") == Ids{50256});
  CHECK(gpt2().encode_with_special_tokens("").empty());
  CHECK(gpt2().decode(Ids{64, 50256}) == "a<|endoftext|>");
}

TEST_CASE("of special tokens that begin alike the longest is taken") {
  auto tokens = single_bytes();
  for (const char* const name : {"<x>", "<x>y"}) tokens.emplace_back(name);
  const ByteLevelBpe tokeniser(tokens, {});
  CHECK(tokeniser.encode_with_special_tokens("<x>y<x><x") == Ids{257, 256, '<', 'x'});
}

TEST_CASE("a streaming decoder never ends within a character of GPT-2") {
  StreamingDecoder decoder(gpt2());
  std::string streamed;
  for (const TokenId id : gpt2().encode("na\u00EFve \U0001F600\u4E59")) {
    const std::string next = decoder.next(id);
    CHECK(valid_utf8(next) == next);
    streamed += next;
  }
  CHECK(streamed == "na\u00EFve \U0001F600\u4E59");
}

/// The published algorithm, as it is written: the pair of the lowest rank, all of it, and again.
Ids merged_plainly(const ByteLevelBpe& tokeniser, Ids ids) {
  for (;;) {
    std::size_t rank = tokeniser.merges().size();
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = std::find(tokeniser.merges().begin(), tokeniser.merges().end(), TokenPair{ids[i], ids[i + 1]});
      rank = std::min(rank, static_cast<std::size_t>(found - tokeniser.merges().begin()));
    }
    if (rank == tokeniser.merges().size()) return ids;
    const auto [left, right] = tokeniser.merges()[rank];
    const std::string text =
        tokeniser.tokens()[static_cast<std::size_t>(left)] + tokeniser.tokens()[static_cast<std::size_t>(right)];
    const auto result =
        std::find(tokeniser.tokens().begin(), tokeniser.tokens().end(), text) - tokeniser.tokens().begin();
    Ids next;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool merges = i + 1 < ids.size() && ids[i] == left && ids[i + 1] == right;
      next.push_back(merges ? static_cast<TokenId>(result) : ids[i]);
      i += merges ? 1 : 0;
    }
    ids = std::move(next);
  }
}

/// Merges of letters a, b, c in any order, also before those that make what they merge, and several of one result.
ByteLevelBpe draw_tokeniser(Random& random) {
  std::vector<std::string> tokens = single_bytes();
  std::vector<TokenId> usable = {'a', 'b', 'c'};
  std::set<TokenPair> merges;
  for (int i = 0; i < 12; ++i) {
    const auto draw = [&] { return usable[static_cast<std::size_t>(random.below(static_cast<Index>(usable.size())))]; };
    const TokenPair pair{draw(), draw()};
    const std::string text = tokens[static_cast<std::size_t>(pair.left)] + tokens[static_cast<std::size_t>(pair.right)];
    merges.insert(pair);
    if (std::find(tokens.begin(), tokens.end(), text) != tokens.end()) continue;
    usable.push_back(static_cast<TokenId>(tokens.size()));
    tokens.push_back(text);
  }
  std::vector<TokenPair> shuffled(merges.begin(), merges.end());
  for (std::size_t i = shuffled.size(); i > 1; --i)
    std::swap(shuffled[i - 1], shuffled[static_cast<std::size_t>(random.below(static_cast<Index>(i)))]);
  return {tokens, shuffled};
}

TEST_CASE("words of any length merge as the published algorithm says, whatever the order of merges") {
  Random random(2);
  for (int trial = 0; trial < 300; ++trial) {
    const ByteLevelBpe tokeniser = draw_tokeniser(random);
    std::string word;
    const Index length = 1 + random.below(trial % 2 == 0 ? 32 : 120);
    for (Index i = 0; i < length; ++i) word += static_cast<char>('a' + random.below(3));
    CAPTURE(word);
    CHECK(tokeniser.encode(word) == merged_plainly(tokeniser, Ids(word.begin(), word.end())));
  }
}

TEST_CASE("a word that is a token, but that merges do not make, is not that token") {
  auto tokens = single_bytes();
  for (const char* const token : {"bc", "ab", "abc", "word"}) tokens.emplace_back(token);
  const ByteLevelBpe tokeniser(tokens, {{'b', 'c'}, {'a', 'b'}, {257, 'c'}});
  CHECK(tokeniser.encode("abc") == Ids{'a', 256});
  CHECK(tokeniser.encode("word") == Ids{'w', 'o', 'r', 'd'});
  CHECK(tokeniser.encode("ab") == Ids{257});
}

TEST_CASE("a word of a hundred thousand letters takes no quadratic time") {
  constexpr std::size_t length = 100000;
  CHECK(gpt2().encode(std::string(length, 'a')).size() == length / 4);
  CHECK(gpt2().encode(std::string(length, ' ')).size() > 0);
  std::string letters;
  for (std::size_t i = 0; i < length; ++i) letters += static_cast<char>('a' + i * i % 23);
  CHECK(gpt2().decode(gpt2().encode(letters)) == letters);
}

TEST_CASE("tokens and merges that do not fit are refused") {
  const auto refusal = [](std::vector<std::string> tokens, std::vector<TokenPair> merges) {
    return message_of<VocabularyError>([&] { ByteLevelBpe(std::move(tokens), std::move(merges)); });
  };
  auto tokens = single_bytes();
  CHECK(refusal({tokens.begin() + 1, tokens.end()}, {}) ==
        "tokens: expected one for each of the 256 bytes, found none for byte 0");
  CHECK(refusal(tokens, {{97, 98}}) == "merges: expected a token for the merge of 97 and 98, found none");
  CHECK(refusal(tokens, {{97, 256}}) == "token id: expected 0 to 255, found 256");
  CHECK(refusal(tokens, {{-1, 97}}) == "token id: expected 0 to 255, found -1");
  tokens.emplace_back("ab");
  CHECK(refusal(tokens, {{97, 98}, {97, 98}}) == "merges: expected each once, found that of 97 and 98 twice");
  tokens.emplace_back("ab");
  CHECK(refusal(tokens, {}) == "tokens: expected each once, found 256 and 257 equal");
}

TEST_CASE("a learned encoding merges what stands together most often") {
  const ByteLevelBpe learned =
      train_byte_level_bpe("low low low lower lower newest newest newest widest", {.vocabulary_size = 263});
  const std::vector<std::string> made(learned.tokens().begin() + 256, learned.tokens().end());
  // l o, o w and w e stand 5 times, s t and " " lo 4 times, e we and we st 3 times: the smaller ids first
  CHECK(made == Words{"lo", "we", "st", " lo", "ewe", "newe", "<|endoftext|>"});
  CHECK(learned.encode(" low est") == Ids{259, 86, 220, 68, 258});
}

TEST_CASE("what is learned is the same again, comes back, and is GPT-2's alphabet where nothing repeats") {
  Random random(3);
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "etaoin shrdlu\n\xC3\xA9"[random.below(16)];
  const ByteLevelBpe learned = train_byte_level_bpe(text, {.vocabulary_size = 450});
  CHECK(learned.vocabulary_size() == 450);
  CHECK(train_byte_level_bpe(text, {.vocabulary_size = 450}).tokens() == learned.tokens());
  CHECK(learned.decode(learned.encode(text)) == text);
  const std::string any = draw_bytes(random, 500);
  CHECK(learned.decode(learned.encode(any)) == any);

  const ByteLevelBpe nothing = train_byte_level_bpe("");
  CHECK(nothing.vocabulary_size() == 257);
  CHECK(std::equal(nothing.tokens().begin(), nothing.tokens().begin() + 256, gpt2().tokens().begin()));
  CHECK(nothing.special_tokens().end_of_text == 256);
  const ByteLevelBpe masked =
      train_byte_level_bpe("abab", {.vocabulary_size = 260, .special_tokens = {"<s>", "<mask>"}});
  CHECK(masked.tokens().size() == 259);
  CHECK(masked.tokens()[256] == "ab");
  CHECK(masked.special_tokens().mask == 258);
}

/// Counts pairs anew before each merge.
std::vector<TokenPair> learned_plainly(const std::string& text, std::size_t merges,
                                       const std::vector<std::string>& alphabet) {
  std::vector<Ids> words;
  for (const std::string& word : gpt2_words_of(text)) {
    Ids ids;
    for (const char byte : word)
      ids.push_back(
          static_cast<TokenId>(std::find(alphabet.begin(), alphabet.end(), std::string(1, byte)) - alphabet.begin()));
    words.push_back(ids);
  }
  std::vector<std::string> tokens(alphabet.begin(), alphabet.begin() + 256);
  std::vector<TokenPair> learned;
  while (learned.size() < merges) {
    std::map<TokenPair, int> counts;
    for (const Ids& word : words)
      for (std::size_t i = 0; i + 1 < word.size(); ++i) ++counts[{word[i], word[i + 1]}];
    const auto best = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == counts.end() || best->second < 2) break;
    learned.push_back(best->first);
    for (Ids& word : words) {
      Ids next;
      for (std::size_t i = 0; i < word.size(); ++i) {
        const bool merge = i + 1 < word.size() && TokenPair{word[i], word[i + 1]} == best->first;
        next.push_back(merge ? static_cast<TokenId>(256 + learned.size() - 1) : word[i]);
        i += merge ? 1 : 0;
      }
      word = next;
    }
  }
  return learned;
}

TEST_CASE("what is learned is what counting anew before each merge gives") {
  Random random(4);
  for (int trial = 0; trial < 20; ++trial) {
    std::string text;
    for (int i = 0; i < 400; ++i) text += "aaaab b"[random.below(7)];
    const ByteLevelBpe learned = train_byte_level_bpe(text, {.vocabulary_size = 257 + 20});
    CHECK(learned.merges() == learned_plainly(text, 20, learned.tokens()));
  }
}

TEST_CASE("a vocabulary too small to learn is refused") {
  CHECK(message_of<OptionError>([] { static_cast<void>(train_byte_level_bpe("a", {.vocabulary_size = 256})); }) ==
        "option: expected vocabulary_size >= 257, the bytes and <|endoftext|>, found 256");
}

}  // namespace
