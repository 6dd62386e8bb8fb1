// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <charconv>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "crate/io/formats/file_replacement.hpp"

namespace inspect_model {

/// Rows of a CSV file. Numbers have the fewest digits that tell them from all others.
class Table {
 public:
  /// Written as name.csv, with these columns.
  Table(std::string name, const std::vector<std::string>& columns) : name_(std::move(name)) {
    for (const std::string& column : columns) add(column);
    end_row();
  }

  Table& add(const std::string& text) {
    text_ += text_.empty() || text_.back() == '\n' ? text : "," + text;
    return *this;
  }
  Table& add(const char* text) { return add(std::string(text)); }
  template <class Number>
  Table& add(Number number) {
    std::array<char, 32> digits;
    const std::to_chars_result result = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    return add(std::string(digits.data(), result.ptr));
  }
  void end_row() { text_ += '\n'; }

  /// Throws FileError if it cannot be written.
  void write(const std::filesystem::path& folder) const {
    crate::FileReplacement file(folder / (name_ + ".csv"));
    file.write(text_);
    file.commit();
  }

 private:
  std::string name_;
  std::string text_;
};

}  // namespace inspect_model
