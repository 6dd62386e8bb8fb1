// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "crate/core/matrix.hpp"
#include "crate/io/formats/csv_table.hpp"
#include "crate/io/formats/detail/csv_reader.hpp"
#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_replacement.hpp"

// Tokens from CSV text, a line a token, and what else such files hold: names of the columns, row numbers, labels.
//
// Fields are separated by the first of these that the first line has: semicolon, comma, tab, |, spaces; "sep=x" in a
// line of its own says otherwise. They may be quoted, numbers too. Blank lines and lines that begin with # are skipped.

namespace crate {

/// Throws FileError, with line and field, for what is no finite number where one should be (it names the likely cause:
/// a missing value, a decimal comma, a unit, ...), missing labels, lines of different lengths, columns that are asked
/// for and not there, and where names or row numbers may as well be numbers. Says what a file is that is no CSV.
[[nodiscard]] CsvTable read_csv_table(const std::filesystem::path& path, const CsvOptions& options = {});

/// The same for text in memory. `source` names it in messages.
[[nodiscard]] CsvTable parse_csv_table(std::string_view text, std::string_view source = "in memory",
                                       const CsvOptions& options = {});

/// The tokens of read_csv_table, d x N.
[[nodiscard]] Matrix<double> read_csv(const std::filesystem::path& path);
[[nodiscard]] Matrix<double> parse_csv(std::string_view text, std::string_view source = "in memory");

/// Writes d x N tokens, a line a token, fields separated by commas, so that `read_csv` returns exactly them: each
/// number in the fewest digits that tell it from all others (but 0.0 and 1.0 at the very beginning, where 0 and 1 could
/// begin names or row numbers). The file is written whole or not at all.
template <Scalar S>
void write_csv(const std::filesystem::path& path, const Matrix<S>& tokens);

namespace detail {

template <Scalar S>
void append_number(std::string& text, S value) {
  std::array<char, 32> digits;
  const std::to_chars_result result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  text.append(digits.data(), result.ptr);
}

}  // namespace detail

inline CsvTable parse_csv_table(std::string_view text, std::string_view source, const CsvOptions& options) {
  return detail::CsvReader(text, source, options).read();
}

inline CsvTable read_csv_table(const std::filesystem::path& path, const CsvOptions& options) {
  const FileBytes file(path);
  const std::span<const std::byte> bytes = file.bytes();
  return parse_csv_table(detail::first_text(bytes), path.string(), options);
}

inline Matrix<double> parse_csv(std::string_view text, std::string_view source) {
  return parse_csv_table(text, source).tokens;
}

inline Matrix<double> read_csv(const std::filesystem::path& path) { return read_csv_table(path).tokens; }

template <Scalar S>
void write_csv(const std::filesystem::path& path, const Matrix<S>& tokens) {
  FileReplacement file(path);
  std::string line;
  for (Index token = 0; token < tokens.cols(); ++token) {
    line.clear();
    for (Index i = 0; i < tokens.rows(); ++i) {
      if (i > 0) line += ',';
      detail::append_number(line, tokens(i, token));
      if (i == 0 && token == 0 && (line == "0" || line == "1")) line += ".0";
    }
    file.write(line += '\n');
  }
  file.commit();
}

}  // namespace crate
