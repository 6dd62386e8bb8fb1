// SPDX-License-Identifier: MIT

// Converts text to the ids of tokens and back, with the tokenisers of GPT-2, RoBERTa and BERT, with bytes, characters,
// or a byte-pair encoding that is learned here.

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/detail/count_of.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/text/read_tokeniser.hpp"
#include "crate/text/train_byte_level_bpe.hpp"
#include "crate/text/write_tokeniser.hpp"
#include "program_options/program_options.hpp"
#include "text_program/read_text.hpp"
#include "tokenize/options.hpp"

namespace {

using namespace crate;
using tokenize::Options;

std::string read_input(const Options& options) {
  return text_program::read_any_text(options.input.empty() ? "-" : options.input);
}

/// The ids on one line, separated by spaces.
std::string line_of(const std::vector<TokenId>& ids) {
  std::string line;
  for (const TokenId id : ids) {
    if (!line.empty()) line += ' ';
    line += std::to_string(id);
  }
  return line + '\n';
}

/// The ids in a text, separated by white space. Throws FileError on anything else.
std::vector<TokenId> ids_from(std::string_view text, std::string_view source) {
  constexpr std::string_view blanks = " \t\r\n";
  std::vector<TokenId> ids;
  for (std::size_t begin = text.find_first_not_of(blanks); begin < text.size();) {
    const std::string_view word = text.substr(begin, text.find_first_of(blanks, begin) - begin);
    TokenId id = 0;
    const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (failure != std::errc() || end != word.data() + word.size())
      throw file_error(source, "byte ", begin, ": expected ids separated by white space, found ", quote(word));
    ids.push_back(id);
    begin = text.find_first_not_of(blanks, begin + word.size());
  }
  return ids;
}

void write_to_standard_output(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw Error("standard output cannot be written");
}

/// Makes a vocabulary from the text, and reports its size on standard error.
void learn(const Options& options, std::string_view text) {
  const Tokeniser tokeniser = options.train ? Tokeniser(train_byte_level_bpe(text, {.vocabulary_size = *options.train}))
                                            : Tokeniser(CharacterTokeniser(text));
  write_tokeniser(options.output, tokeniser);
  std::cerr << "vocabulary of " << detail::count_of(tokeniser.vocabulary_size(), "token") << " written to "
            << options.output;
  if (options.train && tokeniser.vocabulary_size() < *options.train)
    std::cerr << "; the text has too few repeated pairs for " << *options.train;
  std::cerr << '\n';
}

std::vector<TokenId> encode(const Tokeniser& tokeniser, std::string_view text, const Options& options) {
  std::vector<TokenId> ids = options.special ? tokeniser.encode_with_special_tokens(text) : tokeniser.encode(text);
  return options.sentence ? in_sentence(tokeniser, std::move(ids)) : ids;
}

void run(const Options& options) {
  const std::string source = options.input.empty() || options.input == "-" ? "standard input" : options.input;
  if (options.learns()) return learn(options, read_input(options));
  const Tokeniser tokeniser = read_tokeniser(options.vocabulary, options.kind);
  const std::string input = read_input(options);
  if (!options.decode) text_program::warn_of_replaced_bytes(tokeniser, input, source);
  write_to_standard_output(options.decode ? tokeniser.decode(ids_from(input, source))
                                          : line_of(encode(tokeniser, input, options)));
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Converts a text to the ids of its tokens, on one line, separated by spaces; with --decode, ids to text.\n"
      "With --output, makes a vocabulary from the text: --learn-vocabulary SIZE, or --tokeniser characters.\n");
  program_options::set_up(app, "tokenize");
  tokenize::add_options(app, options);
  return program_options::run(app, count, arguments, [&] {
    tokenize::complete_options(options);
    run(options);
    return 0;
  });
}
