// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/io/formats/file_replacement.hpp"
#include "plots/axis.hpp"

namespace inspect_model {

/// What stands in one place of a table.
struct Cell {
  std::string text;   ///< in files: of numbers the fewest digits that tell them from all others
  std::string shown;  ///< to readers: of numbers four digits
  bool is_number = false;
};

/// Rows of a CSV file.
class Table {
 public:
  /// Written as name.csv, with these columns.
  Table(std::string name, std::vector<std::string> columns) : name_(std::move(name)), columns_(std::move(columns)) {}

  Table& add(const std::string& text) {
    rows_.back().push_back({.text = text, .shown = text});
    return *this;
  }
  /// A text that readers see otherwise.
  Table& add(std::string text, std::string shown) {
    rows_.back().push_back({.text = std::move(text), .shown = std::move(shown)});
    return *this;
  }
  Table& add(const char* text) { return add(std::string(text)); }
  template <class Number>
  Table& add(Number number) {
    rows_.back().push_back({digits_of(number), shown_digits(number), true});
    return *this;
  }
  void end_row() { rows_.emplace_back(); }

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<std::string>& columns() const { return columns_; }
  /// Of those that were ended.
  [[nodiscard]] std::vector<std::vector<Cell>> rows() const { return {rows_.begin(), rows_.end() - 1}; }
  [[nodiscard]] bool is_empty() const { return rows_.size() < 2; }

  /// RFC 4180 with lines that end by a line feed.
  [[nodiscard]] std::string csv() const {
    std::string text;
    for (const std::string& column : columns_) text += (text.empty() ? "" : ",") + quoted(column);
    text += '\n';
    for (const std::vector<Cell>& row : rows()) {
      std::string line;
      for (const Cell& cell : row) line += (&cell == row.data() ? "" : ",") + quoted(cell.text);
      text += line + '\n';
    }
    return text;
  }

  /// Throws FileError if it cannot be written.
  void write(const std::filesystem::path& folder) const {
    crate::FileReplacement file(folder / (name_ + ".csv"));
    file.write(csv());
    file.commit();
  }

 private:
  template <class Number>
  [[nodiscard]] static std::string digits_of(Number number) {
    std::array<char, 32> digits;
    const std::to_chars_result result = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    return {digits.data(), result.ptr};
  }

  template <class Number>
  [[nodiscard]] static std::string shown_digits(Number number) {
    if constexpr (std::is_floating_point_v<Number>)
      if (std::isfinite(number)) return plots::short_number(number);
    return digits_of(number);
  }

  [[nodiscard]] static std::string quoted(std::string_view field) {
    if (field.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(field);
    std::string text = "\"";
    for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
    return text + '"';
  }

  std::string name_;
  std::vector<std::string> columns_;
  std::vector<std::vector<Cell>> rows_{1};  // the last is not yet ended
};

}  // namespace inspect_model
