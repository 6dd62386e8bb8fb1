// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_error.hpp"

// Vocabularies as a JSON object of tokens and their ids: {"!": 0, "\"": 1, ...}.

namespace crate::detail {

/// Receives such an object from the JSON parser, event by event; any other JSON is an error.
class JsonVocabulary {
 public:
  explicit JsonVocabulary(std::string_view source) : source_(source) {}

  std::vector<std::pair<std::string, std::uint64_t>> entries;

  bool null() { return refuse("null"); }
  bool boolean(bool) { return refuse("a truth value"); }
  bool number_integer(std::int64_t value) { return refuse(value); }
  bool number_float(double, const std::string& text) { return refuse(quote(text)); }
  bool binary(std::vector<std::uint8_t>&) { return refuse("binary data"); }
  bool string(std::string& text) { return refuse(quote(text)); }
  bool start_array(std::size_t) { return refuse("an array"); }
  static bool end_array() { return true; }
  static bool end_object() { return true; }
  bool number_unsigned(std::uint64_t value) {
    if (!begun_) return refuse(value);
    entries.back().second = value;
    return true;
  }
  bool key(std::string& text) {
    entries.emplace_back(std::move(text), 0);
    return true;
  }
  bool start_object(std::size_t) {
    if (std::exchange(begun_, true)) return refuse("an object");
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) {
    throw file_error(source_, "expected JSON, found an error at byte ", position, ": ", quote(error.what()));
  }

 private:
  template <class Found>
  bool refuse(const Found& found) const {
    if (!begun_) throw file_error(source_, "expected an object of tokens and ids, found ", found);
    throw file_error(source_, "token ", quote(entries.back().first), ": expected an id, found ", found);
  }

  std::string_view source_;
  bool begun_ = false;
};

/// The tokens of a vocabulary by their ids. Throws FileError unless the ids are 0 to n - 1, each once.
[[nodiscard]] inline std::vector<std::string> read_json_vocabulary(const std::filesystem::path& path) {
  const FileBytes file(path, FileAccess::copy);
  const std::string source = path.string(), expected = "a JSON object of tokens and ids";
  if (describe_known_file(file.bytes())) throw other_file_error(source, expected, file.bytes());
  JsonVocabulary read(source);
  nlohmann::json::sax_parse(trimmed_front(first_text(file.bytes())), &read);

  std::vector<std::string> tokens(read.entries.size());
  std::vector<bool> has_token(tokens.size());
  for (auto& [token, id] : read.entries) {
    if (id >= tokens.size() || has_token[id])
      throw file_error(source, "token ", quote(token), ": expected ids from 0 to ", tokens.size() - 1,
                       ", each once, found ", id, id < tokens.size() ? " again" : "");
    has_token[id] = true;
    tokens[id] = std::move(token);
  }
  return tokens;
}

/// A vocabulary in this format, by ascending id.
[[nodiscard]] inline std::string json_vocabulary(const std::vector<std::string>& tokens) {
  std::string text = "{";
  for (std::size_t id = 0; id < tokens.size(); ++id)
    text += (id == 0 ? "" : ", ") + nlohmann::json(tokens[id]).dump() + ": " + std::to_string(id);
  return text + "}\n";
}

}  // namespace crate::detail
