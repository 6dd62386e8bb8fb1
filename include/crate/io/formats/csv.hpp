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

// Tokens from CSV text, one token per line, and what else such files contain: names of columns, row numbers, labels.
//
// The separator is the first of these that occurs in the first line: semicolon, comma, tab, |, spaces; or x if there
// is a line "sep=x". Fields, including numbers, may be quoted. Blank lines and lines that begin with # are skipped.

namespace crate {

/// Throws FileError, with line and field, for a field that should be a finite number and is not (with the likely
/// cause: a missing value, a decimal comma, a unit, ...), for missing labels, lines of different lengths,
/// requested columns that do not exist, and if a header or index cannot be distinguished from data. If the file is
/// not CSV, says what it is.
[[nodiscard]] CsvTable read_csv_table(const std::filesystem::path& path, const CsvOptions& options = {});

/// read_csv_table for text in memory. `source` names it in messages.
[[nodiscard]] CsvTable parse_csv_table(std::string_view text, std::string_view source = "in memory",
                                       const CsvOptions& options = {});

/// The tokens of read_csv_table, d x N.
[[nodiscard]] Matrix<double> read_csv(const std::filesystem::path& path);
[[nodiscard]] Matrix<double> parse_csv(std::string_view text, std::string_view source = "in memory");

/// Writes d x N tokens, one per line, separated by commas, so that `read_csv` returns the same numbers: each in the
/// fewest digits that identify it. If the first field is 0 or 1, it is written as 0.0 or 1.0, so that it is not taken
/// for a header or index. The file is written completely or not at all.
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
