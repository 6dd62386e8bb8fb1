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
  const auto expect = [](bool holds, const std::string& sentence) {
    if (!holds) throw OptionError(sentence);
  };
  const bool has_files = o.kind != TokeniserKind::bytes;
  const bool trains = o.kind == TokeniserKind::bpe, collects = o.kind == TokeniserKind::characters;
  expect(!o.learns() || trains || collects,
         "option --output: expected with --tokeniser bpe or characters, whose vocabulary can be made from the input");
  expect(!o.train || trains,
         crate::concatenate("option --learn-vocabulary: expected with --tokeniser bpe, found --tokeniser ",
                            crate::name_of(o.kind)));
  expect(o.train.has_value() == (trains && o.learns()),
         crate::concatenate(
             "to learn a byte-pair vocabulary give both --learn-vocabulary SIZE and --output FOLDER; found ",
             o.train ? "--learn-vocabulary" : "--output", " alone"));
  expect(o.vocabulary.empty() || !o.learns(),
         "option --vocabulary: expected without --output, which writes a vocabulary made from the input");
  expect(o.vocabulary.empty() || has_files,
         "option --vocabulary would have no effect: --tokeniser bytes needs no files");
  expect(!o.vocabulary.empty() || !has_files || o.learns(), "option --vocabulary: expected a folder, found none");
  expect(!o.learns() || !(o.decode || o.special || o.sentence),
         "options --decode, --special and --sentence would have no effect with --output");
  expect(!o.decode || !(o.special || o.sentence),
         "options --special and --sentence would have no effect with --decode");
}

/// The kind that is named; without a name, that of the files in --vocabulary, or bpe with --learn-vocabulary.
TokeniserKind chosen_kind(const Options& o) {
  if (!o.kind_name.empty()) return crate::tokeniser_kind_named(o.kind_name);
  if (o.train) return TokeniserKind::bpe;
  const auto kind = o.vocabulary.empty() ? std::nullopt : text_program::kind_in(o.vocabulary);
  if (!kind)
    throw OptionError(crate::concatenate(
        "option --tokeniser: expected a name",
        o.vocabulary.empty()
            ? ""
            : crate::concatenate(", because the files in ", crate::quote(o.vocabulary), " do not determine it"),
        ", found none"));
  return *kind;
}

}  // namespace

void add_options(CLI::App& app, Options& options) {
  program_options::begin_group(app, "Tokeniser");
  std::vector<std::string> names;
  for (const auto& [known, name] : crate::tokeniser_kinds) names.emplace_back(name);
  program_options::add_choice(
      app, "--tokeniser", options.kind_name, names,
      program_options::alternatives(names) +
          "; bpe is a vocabulary of your own in GPT-2's format [from the files in --vocabulary; "
          "bpe with --learn-vocabulary]");
  app.add_option(
         "--vocabulary", options.vocabulary,
         "folder with its files: vocab.json (or encoder.json) and merges.txt (or vocab.bpe) for gpt2, roberta and "
         "bpe; vocab.txt for bert and bert-cased; characters.json for characters; none for bytes")
      ->type_name("FOLDER");
  program_options::begin_group(app, "Text");
  app.add_option("--input", options.input, "text file, or ids with --decode; - for standard input [-]")
      ->type_name("FILE");
  app.add_flag("--decode", options.decode, "read ids and write their text");
  app.add_flag("--special", options.special, "recognise names of special tokens in the text, such as <|endoftext|>");
  app.add_flag("--sentence", options.sentence,
               "put [CLS] and [SEP], or <s> and </s>, around the ids, as classifiers expect");
  program_options::begin_group(app, "Your own vocabulary");
  app.add_option("--learn-vocabulary,--train", options.train,
                 "learn a byte-pair vocabulary of this many tokens from the text")
      ->check(CLI::Range(crate::Index{257}, crate::Index{16777216}));
  app.add_option("--output", options.output, "folder for the vocabulary that is made from the text")
      ->type_name("FOLDER");
}

void complete_options(Options& options) {
  options.kind = chosen_kind(options);
  check(options);
}

}  // namespace tokenize
