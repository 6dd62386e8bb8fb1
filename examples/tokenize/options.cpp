// SPDX-License-Identifier: MIT
#include "tokenize/options.hpp"

#include <CLI/CLI.hpp>
#include <string_view>
#include <vector>

namespace tokenize {

namespace {

using crate::OptionError;
using crate::TokeniserKind;

void check(const Options& o) {
  const auto expect = [](bool holds, std::string_view sentence) {
    if (!holds) throw OptionError(std::string(sentence));
  };
  const bool has_files = o.kind != TokeniserKind::bytes;
  const bool trains = o.kind == TokeniserKind::bpe, collects = o.kind == TokeniserKind::characters;
  expect(!o.learns() || trains || collects,
         "option --output: expected with --tokeniser bpe or characters, whose vocabulary is made of the input");
  expect(!o.train || trains, "option --train: expected with --tokeniser bpe, found another");
  expect(o.train.has_value() == (trains && o.learns()),
         "options --train and --output: expected both for a bpe of one's own, found one");
  expect(o.vocabulary.empty() || !o.learns(),
         "option --vocabulary: expected without --output, where a vocabulary made of the input is written");
  expect(o.vocabulary.empty() || has_files, "option --vocabulary would have no effect: bytes need none");
  expect(!o.vocabulary.empty() || !has_files || o.learns(), "option --vocabulary: expected a folder, found none");
  expect(!o.learns() || !(o.decode || o.special || o.sentence),
         "options --decode, --special and --sentence would have no effect beside --output");
  expect(!o.decode || !(o.special || o.sentence),
         "options --special and --sentence would have no effect with --decode");
}

}  // namespace

std::optional<int> Options::parse(int count, char** arguments) {
  CLI::App app(
      "Turns a text into the ids of its tokens, separated by blanks, on one line; with --decode, ids into text.\n"
      "With --output, makes a vocabulary of the text: --tokeniser bpe --train SIZE, or --tokeniser characters.");
  std::string kind_name;
  std::vector<std::string> names;
  for (const auto& [known, name] : crate::tokeniser_kinds) names.emplace_back(name);
  app.add_option("--tokeniser", kind_name,
                 "whose tokeniser; bpe is one of one's own in GPT-2's format (bpe with --train)")
      ->check(CLI::IsMember(names));
  app.add_option(
      "--vocabulary", vocabulary,
      "folder with its files: gpt2, roberta, bpe: vocab.json (or encoder.json) and merges.txt (or vocab.bpe); "
      "bert, bert-cased: vocab.txt; characters: characters.json; bytes: none");
  app.add_option("--input", input, "text file, or ids with --decode (standard input)");
  app.add_flag("--decode", decode, "read ids, write their text");
  app.add_flag("--special", special, "names of special tokens in the text, such as <|endoftext|>, are these tokens");
  app.add_flag("--sentence", sentence, "put [CLS] and [SEP], or <s> and </s>, around the ids, as classifiers expect");
  app.add_option("--train", train, "learn a bpe of this many tokens from the text")
      ->check(CLI::Range(crate::Index{257}, crate::Index{16777216}));
  app.add_option("--output", output, "folder for the vocabulary that is made of the text");
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) { return app.exit(error); }
  if (kind_name.empty() && !train) throw OptionError("option --tokeniser: expected a name, found none");
  kind = kind_name.empty() ? TokeniserKind::bpe : crate::tokeniser_kind_named(kind_name);
  check(*this);
  return std::nullopt;
}

}  // namespace tokenize
