// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/file_error.hpp"

// The records and fields of CSV text (RFC 4180 and its usual variants), and the numbers in them.

namespace crate::detail {

[[nodiscard]] inline std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

[[nodiscard]] inline bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20U && std::string_view("\t\n\v\f\r").find(c) == std::string_view::npos;
}

/// Whether the text is UTF-16: it has a byte order mark, or every other byte of its first two characters is zero.
[[nodiscard]] inline bool is_utf16(std::string_view text) {
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) return true;
  const auto zero = [text](std::size_t i) { return text[i] == '\0'; };
  return text.size() >= 4 && zero(0) != zero(1) && zero(0) == zero(2) && zero(1) == zero(3);
}

/// What bytes are if they are not CSV, with advice; nothing if they may be CSV.
[[nodiscard]] inline std::optional<std::string> describe_other_than_csv(std::string_view text) {
  if (is_utf16(text)) return "UTF-16: save the file as UTF-8";
  if (text.starts_with(zip_mark)) return "a zip archive, as spreadsheets are: export it as CSV";
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  const std::string_view beginning = text.substr(0, 4096);
  if (std::any_of(beginning.begin(), beginning.end(), is_control)) return describe_file(bytes);
  if (text.find('\0') != std::string_view::npos) return "a zero byte";
  for (const std::string_view mark : {"version https://git-lfs.", "%PDF-"})
    if (text.starts_with(mark)) return describe_file(bytes);
  if (auto known = describe_known_text(text)) return known;
  const std::optional<std::string> description = describe_text(text);
  return description && description->starts_with("a text that begins") ? std::nullopt : description;
}

/// The records of CSV text: lines, except for line ends within quotes. Blank lines and comments are skipped; comments
/// are lines that begin with #, unless a separator follows it.
class CsvRecords {
 public:
  /// Throws FileError if the text is not text, not UTF-8, or of another kind, such as HTML.
  CsvRecords(std::string_view text, std::string_view source) : rest_(text), source_(source) {
    if (const auto other = describe_other_than_csv(text))
      throw file_error(source_, "expected lines of text, fields separated by commas, found ", *other);
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (rest_.starts_with(byte_order_mark)) rest_.remove_prefix(byte_order_mark.size());
    skip_blank_lines();
    choose_separator();
  }

  /// Reads the next record into fields() and line(); false after the last. Throws FileError on a quote that is not
  /// closed, and on text after a closing quote.
  bool next() {
    skip_blank_lines();
    if (rest_.empty()) return false;
    line_ = next_line_;
    std::size_t count = 0;
    do {
      if (count == fields_.size()) fields_.emplace_back();
      take_field(fields_[count++]);
    } while (take_separator());
    fields_.resize(count);
    take_line_end();
    return true;
  }

  [[nodiscard]] const std::vector<std::string>& fields() const { return fields_; }
  [[nodiscard]] Index line() const { return line_; }  ///< the line on which the record begins, from 1
  [[nodiscard]] Index comments() const { return comments_; }
  [[nodiscard]] char separator() const { return separator_; }

 private:
  [[nodiscard]] std::string_view line_ahead() const { return rest_.substr(0, rest_.find_first_of("\r\n")); }

  [[nodiscard]] bool at_line_end() const { return rest_.empty() || rest_[0] == '\n' || rest_[0] == '\r'; }

  void take_line_end() {
    if (!at_line_end())
      throw file_error(source_, "line ", next_line_, ": expected the line's end, found ", quote(rest_.substr(0, 1)));
    rest_.remove_prefix(rest_.starts_with("\r\n") ? 2 : std::min<std::size_t>(1, rest_.size()));
    ++next_line_;
  }

  void skip_blank_lines() {
    while (!rest_.empty()) {
      const std::string_view line = line_ahead(), text = trimmed(line);
      const bool comment =
          text.starts_with('#') && (text.size() == 1 || separators.find(text[1]) == std::string_view::npos);
      if (!comment && !text.empty()) return;
      if (comment) ++comments_;
      rest_.remove_prefix(line.size());
      if (!rest_.empty()) take_line_end();
    }
  }

  /// Separators that are recognised without "sep=x", the most likely first.
  static constexpr std::string_view separators = ";,\t|";

  /// Uses the first of `separators` that occurs outside quotes in the first record, otherwise spaces; or x
  /// if there is a line "sep=x".
  void choose_separator() {
    const std::string_view line = line_ahead();
    if (line.size() == 5 && line.starts_with("sep=")) {
      separator_ = line[4];
      const char upper = static_cast<char>(separator_ & ~0x20);
      if ((upper >= 'A' && upper <= 'Z') ||
          std::string_view("0123456789+-.\"#").find(separator_) != std::string_view::npos)
        throw file_error(source_, "line ", next_line_, ": expected a separator after sep=, found ",
                         quote(line.substr(4)), ", which fields may hold");
      rest_.remove_prefix(line.size());
      take_line_end();
      return;
    }
    for (const char separator : separators) {
      bool quoted = false;
      for (const char c : rest_) {
        if (c == '"') quoted = !quoted;
        if ((c == '\n' || c == '\r') && !quoted) break;
        if (c != separator || quoted) continue;
        separator_ = separator;
        return;
      }
    }
  }

  void skip_blanks() {
    const std::string_view blanks = separator_ == '\t' ? " " : " \t";
    rest_.remove_prefix(std::min(rest_.find_first_not_of(blanks), rest_.size()));
  }

  [[nodiscard]] bool at_separator() const {
    return !rest_.empty() && (rest_[0] == separator_ || (separator_ == ' ' && rest_[0] == '\t'));
  }

  bool take_separator() {
    const bool by_blanks = separator_ == ' ' && at_separator();
    skip_blanks();
    if (by_blanks) return !at_line_end();
    if (rest_.empty() || rest_[0] != separator_) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void take_field(std::string& field) {
    field.clear();
    skip_blanks();
    if (rest_.starts_with('"')) {
      take_quoted(field);
      return;
    }
    const char ends[] = {separator_, '\n', '\r', separator_ == ' ' ? '\t' : separator_};
    const std::string_view part = rest_.substr(0, rest_.find_first_of(std::string_view(ends, 4)));
    rest_.remove_prefix(part.size());
    field = trimmed(part);
  }

  void take_quoted(std::string& field) {
    const Index opened = next_line_;
    rest_.remove_prefix(1);
    while (true) {
      const std::size_t end = rest_.find('"');
      if (end == std::string_view::npos)
        throw file_error(source_, "line ", opened, ": a quote is opened and never closed");
      field += rest_.substr(0, end);
      next_line_ += std::count(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(end), '\n');
      rest_.remove_prefix(end + 1);
      if (!rest_.starts_with('"')) break;
      field += '"';  // "" within quotes
      rest_.remove_prefix(1);
    }
    if (separator_ != ' ') skip_blanks();
    if (!at_separator() && !at_line_end())
      throw file_error(source_, "line ", next_line_, ": expected ", quote(std::string_view(&separator_, 1)),
                       " or the line's end after a closing quote, found ", quote(rest_.substr(0, 1)));
  }

  std::string_view rest_;
  std::string source_;
  char separator_ = ' ';
  Index line_ = 0, next_line_ = 1, comments_ = 0;
  std::vector<std::string> fields_;
};

/// The number in the field: infinite if it is too large or small for a double, nan if the text is; nothing if
/// the field is not a number.
[[nodiscard]] inline std::optional<double> csv_number(std::string_view field) {
  field = trimmed(field);
  if (field.size() > 1 && field[0] == '+' && field[1] != '-') field.remove_prefix(1);
  double value = 0;
  const char* const end = field.data() + field.size();
  const std::from_chars_result result = std::from_chars(field.data(), end, value);
  if (result.ptr != end || result.ec == std::errc::invalid_argument) return std::nullopt;
  return result.ec == std::errc() ? value : std::numeric_limits<double>::infinity();
}

/// Whether the field is a number or seems to be meant as one: 1,5 does, Infant does not.
[[nodiscard]] inline bool begins_like_number(std::string_view field) {
  const std::size_t first = field.find_first_not_of("+-.");
  return csv_number(field) || (first != std::string_view::npos && field[first] >= '0' && field[first] <= '9');
}

[[nodiscard]] inline bool is_missing_value(std::string_view field) {
  for (const std::string_view missing : {"", "NA", "N/A", "n/a", "<NA>", "#N/A", "null", "NULL", "None", "?", "-", "."})
    if (field == missing) return true;
  const std::optional<double> number = csv_number(field);
  return number && std::isnan(*number);
}

/// As is_missing_value, except that a minus is the name of a class, as the opposite of plus.
[[nodiscard]] inline bool is_missing_label(std::string_view field) { return field != "-" && is_missing_value(field); }

/// What a field contains instead of a finite number, with advice.
[[nodiscard]] inline std::string csv_cause(std::string_view field) {
  constexpr std::string_view digits = "0123456789";
  if (is_missing_value(field)) return ": a missing value; fill it in, or leave the line or the column out";
  if (const auto number = csv_number(field)) return ": too large or small for a double, or infinite";
  if (!begins_like_number(field))
    return "; if the column holds labels, name it as labels, or choose the columns that hold numbers";
  const std::size_t end = std::min(field.find_first_not_of("0123456789+-.,' eE"), field.size());
  const std::string_view number = field.substr(0, end);
  const auto commas = std::count(number.begin(), number.end(), ',');
  if (field.find('\t') != std::string_view::npos)
    return ": fields separated by tabs, and decimal commas? Write numbers with a point";
  if (end < field.size() && field.find_first_of(digits) < end)
    return ": a unit or other text after the number; leave it out";
  if (commas == 1 && number.find_first_of(".'") == std::string_view::npos) {
    const bool thousands = number.size() - number.find(',') == 4 && number.find(',') <= 4;
    return thousands ? ": a decimal comma or a thousands separator; write numbers with a point, and without separators"
                     : ": a decimal comma; write numbers with a point";
  }
  if (commas > 0 || number.find('\'') != std::string_view::npos) return ": thousands separators; leave them out";
  return {};
}

}  // namespace crate::detail
