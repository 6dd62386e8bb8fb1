// SPDX-License-Identifier: MIT
// Needs nlohmann/json and utf8proc (Debian: nlohmann-json3-dev, libutf8proc-dev), in addition to Eigen.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/formats/text_file.hpp"
#include "crate/text/detail/byte_alphabet.hpp"
#include "crate/text/detail/json_vocabulary.hpp"
#include "crate/text/tokeniser.hpp"

namespace crate {

/// The kinds of tokenisers, and their files.
enum class TokeniserKind {
  bytes,       ///< no files
  characters,  ///< characters.json
  gpt2,        ///< vocab.json (or encoder.json) and merges.txt (or vocab.bpe)
  roberta,     ///< RoBERTa's files of that format, with <s>, </s>, <pad> and <mask>
  bert,        ///< vocab.txt, lower-cased without accents
  bert_cased,  ///< vocab.txt
  bpe,         ///< files of the format of gpt2, trained on other text
};

inline constexpr std::array<std::pair<TokeniserKind, std::string_view>, 7> tokeniser_kinds = {
    {{TokeniserKind::bytes, "bytes"},
     {TokeniserKind::characters, "characters"},
     {TokeniserKind::gpt2, "gpt2"},
     {TokeniserKind::roberta, "roberta"},
     {TokeniserKind::bert, "bert"},
     {TokeniserKind::bert_cased, "bert-cased"},
     {TokeniserKind::bpe, "bpe"}}};

[[nodiscard]] inline std::string_view name_of(TokeniserKind kind) {
  for (const auto& [known, name] : tokeniser_kinds)
    if (known == kind) return name;
  return "unknown";
}

/// The kind with this name; throws OptionError if there is none.
[[nodiscard]] inline TokeniserKind tokeniser_kind_named(std::string_view name) {
  std::string names;
  for (const auto& [kind, known] : tokeniser_kinds) {
    if (known == name) return kind;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  throw OptionError(concatenate("tokeniser: expected one of ", names, ", found ", quote(name)));
}

/// A byte-level tokeniser in GPT-2's format. The vocabulary is a JSON object of tokens, with bytes written as visible
/// characters, and ids; the merges are lines "left right", by rank, after an optional line that begins with "#version".
/// Throws FileError if a file cannot be read, is invalid or does not fit the other.
[[nodiscard]] ByteLevelBpe read_byte_level_bpe(const std::filesystem::path& vocabulary,
                                               const std::filesystem::path& merges);

/// BERT's vocabulary, one token per line. Throws FileError if it cannot be read or lacks [UNK].
[[nodiscard]] WordPiece read_word_piece(const std::filesystem::path& vocabulary, const WordPieceOptions& options = {});

/// A JSON object of characters and ids. Throws FileError if it cannot be read or is not such an object.
[[nodiscard]] CharacterTokeniser read_character_tokeniser(const std::filesystem::path& characters);

namespace detail {

/// The bytes of a token in the vocabulary; the text itself if it has characters that stand for no byte.
[[nodiscard]] inline std::string bytes_of_token(const std::string& text) { return bytes_of_text(text).value_or(text); }

[[nodiscard]] inline TokenPair merge_from(std::string_view line, const Vocabulary& vocabulary) {
  const std::size_t blank = line.find(' ');
  if (blank >= line.size()) return {Vocabulary::none, Vocabulary::none};
  return {vocabulary.find(line.substr(0, blank)), vocabulary.find(line.substr(blank + 1))};
}

[[nodiscard]] inline std::vector<TokenPair> read_merges(const std::filesystem::path& path,
                                                        const std::vector<std::string>& written_tokens) {
  const Vocabulary vocabulary(written_tokens);
  const std::vector<std::string> lines = read_lines(path);
  std::vector<TokenPair> merges;
  merges.reserve(lines.size());
  for (std::size_t i = !lines.empty() && lines[0].starts_with("#version") ? 1 : 0; i < lines.size(); ++i) {
    merges.push_back(merge_from(lines[i], vocabulary));
    if (merges.back().left == Vocabulary::none || merges.back().right == Vocabulary::none)
      throw file_error(path.string(), "line ", i + 1, ": expected two tokens of the vocabulary, found ",
                       quote(lines[i]));
  }
  return merges;
}

/// The first of the names that exists in a folder; nothing if none does.
[[nodiscard]] inline std::optional<std::filesystem::path> find_file(const std::filesystem::path& folder,
                                                                    std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names)
    if (path_exists(folder / name)) return folder / name;
  return std::nullopt;
}

/// The error for a folder that lacks files, with their names.
[[nodiscard]] inline FileError missing_files(const std::filesystem::path& folder, TokeniserKind kind,
                                             const std::vector<std::string_view>& missing) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(folder, ignored);
  std::string names;
  for (const std::string_view name : missing)
    names.append(names.empty() ? "" : is_folder ? " and no " : " and ").append(name);
  return file_error(folder.string(), "expected a folder with the tokeniser ", name_of(kind), ", found ",
                    is_folder             ? "no "
                    : path_exists(folder) ? "no folder; it needs "
                                          : "nothing there; it needs ",
                    names);
}

[[nodiscard]] inline std::filesystem::path find_only_file(const std::filesystem::path& folder, TokeniserKind kind,
                                                          std::string_view name) {
  if (const auto file = find_file(folder, {name})) return *file;
  throw missing_files(folder, kind, {name});
}

[[nodiscard]] inline ByteLevelBpe read_bpe_folder(const std::filesystem::path& folder, TokeniserKind kind) {
  const auto vocabulary = find_file(folder, {"vocab.json", "encoder.json"});
  const auto merges = find_file(folder, {"merges.txt", "vocab.bpe"});
  std::vector<std::string_view> missing;
  if (!vocabulary) missing.emplace_back("vocab.json (or encoder.json)");
  if (!merges) missing.emplace_back("merges.txt (or vocab.bpe)");
  if (!missing.empty()) throw missing_files(folder, kind, missing);
  ByteLevelBpe tokeniser = read_byte_level_bpe(*vocabulary, *merges);

  const auto expect = [&](std::string_view name) {
    if (!tokeniser.special_tokens().find(name))
      throw file_error(vocabulary->string(), "expected the token ", name, " of ", name_of(kind), ", found none");
  };
  if (kind == TokeniserKind::gpt2) expect("<|endoftext|>");
  if (kind == TokeniserKind::roberta)
    for (const std::string_view name : {"<s>", "</s>", "<pad>", "<mask>"}) expect(name);
  return tokeniser;
}

}  // namespace detail

inline ByteLevelBpe read_byte_level_bpe(const std::filesystem::path& vocabulary, const std::filesystem::path& merges) {
  std::vector<std::string> tokens = detail::read_json_vocabulary(vocabulary);
  std::vector<TokenPair> pairs = detail::read_merges(merges, tokens);
  for (std::string& token : tokens) token = detail::bytes_of_token(token);
  try {
    return {std::move(tokens), std::move(pairs)};
  } catch (const VocabularyError& error) {
    throw file_error(vocabulary.string(), "with the merges of ", quote(merges.string()), ": ", error.what());
  }
}

inline WordPiece read_word_piece(const std::filesystem::path& vocabulary, const WordPieceOptions& options) {
  try {
    return WordPiece(read_lines(vocabulary), options);
  } catch (const VocabularyError& error) { throw file_error(vocabulary.string(), error.what()); }
}

inline CharacterTokeniser read_character_tokeniser(const std::filesystem::path& characters) {
  std::vector<char32_t> codes;
  for (const std::string& text : detail::read_json_vocabulary(characters)) {
    const auto character = text.empty() ? detail::Utf8Character{} : detail::first_character(text);
    if (text.empty() || character.size != text.size())
      throw file_error(characters.string(), "expected single characters, found ", quote(text));
    codes.push_back(character.code);
  }
  try {
    return CharacterTokeniser(std::move(codes));
  } catch (const VocabularyError& error) { throw file_error(characters.string(), error.what()); }
}

/// Reads the tokeniser in a folder. Throws FileError that names missing files, and as the readers above.
[[nodiscard]] inline Tokeniser read_tokeniser(const std::filesystem::path& folder, TokeniserKind kind) {
  switch (kind) {
    case TokeniserKind::bytes:
      return Tokeniser(ByteTokeniser());
    case TokeniserKind::characters:
      return Tokeniser(read_character_tokeniser(detail::find_only_file(folder, kind, "characters.json")));
    case TokeniserKind::bert:
    case TokeniserKind::bert_cased:
      return Tokeniser(read_word_piece(detail::find_only_file(folder, kind, "vocab.txt"),
                                       {.lower_case = kind == TokeniserKind::bert}));
    case TokeniserKind::gpt2:
    case TokeniserKind::roberta:
    case TokeniserKind::bpe:
      break;
  }
  return Tokeniser(detail::read_bpe_folder(folder, kind));
}

}  // namespace crate
