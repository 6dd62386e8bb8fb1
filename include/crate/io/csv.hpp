// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/io/file_bytes.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/file_replacement.hpp"

namespace crate {

/// Tokens from a text file: a line a token, a field a coordinate. Returns d x N. Fields are separated by the first of
/// these that the first line has: semicolon, comma, tab, spaces. A first line without any number is a header; blank
/// lines are skipped. Throws FileError, with line and field, for what is no finite number or lines of different
/// lengths.
[[nodiscard]] Matrix<double> read_csv(const std::filesystem::path& path);

/// The same for text in memory. `source` names it in messages.
[[nodiscard]] Matrix<double> parse_csv(std::string_view text, std::string_view source = "in memory");

/// Writes d x N tokens, a line a token, fields separated by commas, so that `read_csv` returns exactly them: each
/// number in the fewest digits that tell it from all others. The file is written whole or not at all.
template <Scalar S>
void write_csv(const std::filesystem::path& path, const Matrix<S>& tokens);

namespace detail {

constexpr std::string_view csv_blanks = " \t\r";

[[nodiscard]] inline std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(csv_blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(csv_blanks) + 1 - begin);
}

/// Takes the part up to the next separator off the front of `rest`.
[[nodiscard]] inline std::string_view take_until(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

/// The fields of one line that is not blank.
class CsvFields {
 public:
  CsvFields(std::string_view line, char separator) : rest_(trimmed(line)), separator_(separator) {}

  [[nodiscard]] bool at_end() const { return at_end_; }
  [[nodiscard]] std::string_view next() {
    at_end_ = rest_.find(separator_) == std::string_view::npos;
    const std::string_view field = trimmed(take_until(rest_, separator_));
    if (separator_ == ' ') rest_ = trimmed(rest_);
    return field;
  }

 private:
  std::string_view rest_;
  char separator_;
  bool at_end_ = false;
};

[[nodiscard]] inline char csv_separator(std::string_view line) {
  const std::string_view fields = trimmed(line);
  for (const char separator : {';', ',', '\t'})
    if (fields.find(separator) != std::string_view::npos) return separator;
  return ' ';
}

/// The number that the field holds, infinite if it is too large or small for a double; nothing if it holds something
/// else.
[[nodiscard]] inline std::optional<double> csv_number(std::string_view field) {
  if (field.size() > 1 && field[0] == '+' && field[1] != '-') field.remove_prefix(1);
  double value = 0;
  const char* const end = field.data() + field.size();
  const std::from_chars_result result = std::from_chars(field.data(), end, value);
  if (result.ptr != end || result.ec == std::errc::invalid_argument) return std::nullopt;
  return result.ec == std::errc() ? value : std::numeric_limits<double>::infinity();
}

/// Whether the field is a number or means to be one: 1,5 does, Infant does not.
[[nodiscard]] inline bool begins_like_number(std::string_view field) {
  const std::size_t first = field.find_first_not_of("+-.");
  return csv_number(field) || (first != std::string_view::npos && field[first] >= '0' && field[first] <= '9');
}

[[nodiscard]] inline bool is_csv_header(std::string_view line, char separator) {
  CsvFields fields(line, separator);
  while (!fields.at_end())
    if (begins_like_number(fields.next())) return false;
  return true;
}

/// Appends the numbers of one line; returns how many.
[[nodiscard]] inline Index parse_csv_line(std::string_view line, char separator, std::string_view source, Index number,
                                          std::vector<double>& values) {
  Index count = 0;
  CsvFields fields(line, separator);
  while (!fields.at_end()) {
    const std::string_view field = fields.next();
    const std::optional<double> value = csv_number(field);
    ++count;
    if (!value || !std::isfinite(*value))
      throw file_error(source, "line ", number, ", field ", count, ": expected a finite number, found ", quote(field));
    values.push_back(*value);
  }
  return count;
}

template <Scalar S>
void append_number(std::string& text, S value) {
  std::array<char, 32> digits;
  const std::to_chars_result result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  text.append(digits.data(), result.ptr);
}

}  // namespace detail

inline Matrix<double> parse_csv(std::string_view text, std::string_view source) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.substr(0, byte_order_mark.size()) == byte_order_mark) text.remove_prefix(byte_order_mark.size());

  std::vector<double> values;
  Index dim = 0;
  char separator = '\0';
  for (Index number = 1; !text.empty(); ++number) {
    const std::string_view line = detail::take_until(text, '\n');
    if (detail::trimmed(line).empty()) continue;
    if (separator == '\0') {
      separator = detail::csv_separator(line);
      if (detail::is_csv_header(line, separator)) continue;
    }
    const Index found = detail::parse_csv_line(line, separator, source, number, values);
    if (dim == 0) dim = found;
    if (found != dim)
      throw file_error(source, "line ", number, ": expected ", dim, " numbers as in the lines before, found ", found);
  }
  if (values.empty()) throw file_error(source, "expected lines of numbers, found none");
  return Eigen::Map<const Matrix<double>>(values.data(), dim, static_cast<Index>(values.size()) / dim);
}

inline Matrix<double> read_csv(const std::filesystem::path& path) {
  const FileBytes file(path);
  const std::span<const std::byte> bytes = file.bytes();
  return parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

template <Scalar S>
void write_csv(const std::filesystem::path& path, const Matrix<S>& tokens) {
  FileReplacement file(path);
  std::string line;
  for (Index token = 0; token < tokens.cols(); ++token) {
    line.clear();
    for (Index i = 0; i < tokens.rows(); ++i) {
      if (i > 0) line += ',';
      detail::append_number(line, tokens(i, token));
    }
    file.write(line += '\n');
  }
  file.commit();
}

}  // namespace crate
