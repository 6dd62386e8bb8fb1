// SPDX-License-Identifier: MIT
#include "tokenize/options.hpp"

#include <CLI/CLI.hpp>
#include <string_view>
#include <vector>

#include "program_options/program_options.hpp"
#include "text_program/tokeniser_options.hpp"

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

/// The kind of that name; without one, as the files of --vocabulary tell, or bpe for --train.
TokeniserKind chosen_kind(const std::string& name, const Options& o) {
  if (!name.empty()) return crate::tokeniser_kind_named(name);
  if (o.train) return TokeniserKind::bpe;
  const auto kind = o.vocabulary.empty() ? std::nullopt : text_program::kind_in(o.vocabulary);
  if (!kind)
    throw OptionError(crate::concatenate(
        "option --tokeniser: expected a name",
        o.vocabulary.empty() ? ""
                             : crate::concatenate(", as the files in ", crate::quote(o.vocabulary), " do not tell it"),
        ", found none"));
  return *kind;
}

}  // namespace

std::optional<int> Options::parse(int count, char** arguments) {
  CLI::App app(
      "Turns a text into the ids of its tokens, separated by blanks, on one line; with --decode, ids into text.\n"
      "With --output, makes a vocabulary of the text: --tokeniser bpe --train SIZE, or --tokeniser characters.\n");
  program_options::set_up(app, "tokenize");
  program_options::begin_group(app, "Tokeniser");
  std::string kind_name;
  std::vector<std::string> names;
  for (const auto& [known, name] : crate::tokeniser_kinds) names.emplace_back(name);
  program_options::add_choice(app, "--tokeniser", kind_name, names,
                              program_options::alternatives(names) +
                                  "; bpe is one of one's own in GPT-2's format [as the files of --vocabulary tell; bpe "
                                  "with --train]");
  app.add_option("--vocabulary", vocabulary,
                 "folder with its files: of gpt2, roberta and bpe vocab.json (or encoder.json) and merges.txt (or "
                 "vocab.bpe), of bert and bert-cased vocab.txt, of characters characters.json; bytes need none")
      ->type_name("FOLDER");
  program_options::begin_group(app, "Text");
  app.add_option("--input", input, "text file, or ids with --decode; - for standard input [-]")->type_name("FILE");
  app.add_flag("--decode", decode, "read ids, write their text");
  app.add_flag("--special", special, "names of special tokens in the text, such as <|endoftext|>, are these tokens");
  app.add_flag("--sentence", sentence, "put [CLS] and [SEP], or <s> and </s>, around the ids, as classifiers expect");
  program_options::begin_group(app, "A vocabulary of one's own");
  app.add_option("--train", train, "learn a bpe of this many tokens from the text")
      ->check(CLI::Range(crate::Index{257}, crate::Index{16777216}));
  app.add_option("--output", output, "folder for the vocabulary that is made of the text")->type_name("FOLDER");
  if (const auto ended = program_options::parse(app, count, arguments)) return ended;
  kind = chosen_kind(kind_name, *this);
  check(*this);
  return std::nullopt;
}

}  // namespace tokenize
