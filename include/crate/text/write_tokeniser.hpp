// SPDX-License-Identifier: MIT
// Needs nlohmann/json and utf8proc (Debian: nlohmann-json3-dev, libutf8proc-dev), in addition to Eigen.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "crate/io/formats/detail/utf8.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/text/detail/byte_alphabet.hpp"
#include "crate/text/detail/json_vocabulary.hpp"
#include "crate/text/tokeniser.hpp"

namespace crate {

namespace detail {

using FileContent = std::pair<std::string_view, std::string>;  // name, text

[[nodiscard]] inline std::vector<FileContent> files_of(const ByteTokeniser&) { return {}; }

[[nodiscard]] inline std::vector<FileContent> files_of(const CharacterTokeniser& tokeniser) {
  std::vector<std::string> characters(tokeniser.characters().size());
  for (std::size_t i = 0; i < characters.size(); ++i) append_utf8(tokeniser.characters()[i], characters[i]);
  return {{"characters.json", json_vocabulary(characters)}};
}

/// The name of a special token with characters that stand for no byte is written unchanged, as it was read.
[[nodiscard]] inline bool is_written_as_it_is(const std::string& name) { return is_utf8(name) && !bytes_of_text(name); }

[[nodiscard]] inline std::vector<FileContent> files_of(const ByteLevelBpe& tokeniser) {
  std::vector<std::string> tokens;
  tokens.reserve(tokeniser.tokens().size());
  for (const std::string& token : tokeniser.tokens()) tokens.push_back(text_of_bytes(token));
  for (const auto& [name, id] : tokeniser.special_tokens().named)
    if (is_written_as_it_is(name)) tokens[static_cast<std::size_t>(id)] = name;
  std::string merges = "#version: 0.2\n";
  for (const auto [left, right] : tokeniser.merges())
    merges += tokens[static_cast<std::size_t>(left)] + ' ' + tokens[static_cast<std::size_t>(right)] + '\n';
  return {{"vocab.json", json_vocabulary(tokens)}, {"merges.txt", std::move(merges)}};
}

[[nodiscard]] inline std::vector<FileContent> files_of(const WordPiece& tokeniser) {
  std::string lines;
  for (const std::string& token : tokeniser.tokens()) lines += token + '\n';
  return {{"vocab.txt", std::move(lines)}};
}

}  // namespace detail

/// Writes a tokeniser's files into a folder, which is created if necessary; read_tokeniser reads them. For byte-level
/// tokenisers these are vocab.json and merges.txt, which other software reads, too. Each file is written completely or
/// not at all. Throws FileError if one cannot be written.
inline void write_tokeniser(const std::filesystem::path& folder, const Tokeniser& tokeniser) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw file_error(folder.string(), "cannot be created: ", system_message(failure));
  const auto files = std::visit([](const auto& own) { return detail::files_of(own); }, tokeniser.any());
  for (const auto& [name, text] : files) {
    FileReplacement file(folder / name);
    file.write(text);
    file.commit();
  }
}

}  // namespace crate
