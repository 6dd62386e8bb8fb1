// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "crate/core/detail/count_of.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/formats/csv_table.hpp"
#include "crate/io/formats/detail/csv_records.hpp"
#include "crate/io/formats/file_error.hpp"

// Converts the records of CSV text to tokens: decides which lines and columns are names, row numbers,
// labels and coordinates.

namespace crate::detail {

/// Collects the columns of a file while it is read, and interprets them at its end.
class CsvReader {
 public:
  CsvReader(std::string_view text, std::string_view source, const CsvOptions& options)
      : records_(text, source), source_(source), options_(options) {}

  [[nodiscard]] CsvTable read() {
    if (!records_.next()) throw none();
    constexpr std::size_t most_columns = std::size_t{1} << 18U;
    if (records_.fields().size() > most_columns)
      throw error("expected at most ", most_columns, " columns, found ", records_.fields().size());
    const std::vector<std::string> first = records_.fields();
    const Index first_line = records_.line();
    const bool more = records_.next();
    if (is_header(first, more ? records_.fields() : std::vector<std::string>{}, first_line)) {
      take_names(first, first_line, more ? records_.fields().size() : first.size());
    } else {
      width_ = first.size();
      names_.assign(width_, {});
      columns_.resize(width_);
      find_chosen();
      add(first, first_line);
    }
    if (more) add(records_.fields(), records_.line());
    while (more && records_.next()) add(records_.fields(), records_.line());
    if (lines_ == 0) throw none();
    return table();
  }

 private:
  struct Column {
    Index first_bad_line = 0;  // the first line without a finite number in this column; 0 if there is none
    std::string bad;           // the text in that line
    bool empty = true;         // in all lines
    bool counts = true;        // digits only, or no number at all
    bool from_zero = true;     // 0, 1, 2, ...
    bool from_one = true;
  };

  template <class... Parts>
  [[nodiscard]] FileError error(const Parts&... parts) const {
    return file_error(source_, parts...);
  }
  [[nodiscard]] FileError none() const { return error("expected lines of numbers, found none"); }

  /// The number of fields that contain the index of their column, 0, 1, 2, ... (an empty first field is not counted); 0
  /// if a field has any other number. Other fields must be text.
  [[nodiscard]] static std::size_t counted_columns(const std::vector<std::string>& fields) {
    const std::size_t begin = fields.size() > 1 && fields[0].empty() ? 1 : 0;
    std::size_t counted = 0;
    for (std::size_t i = begin; i < fields.size(); ++i) {
      if (!begins_like_number(fields[i]) && !is_missing_value(fields[i])) continue;
      if (fields[i] != std::to_string(i - begin)) return 0;
      ++counted;
    }
    return counted;
  }

  [[nodiscard]] bool is_header(const std::vector<std::string>& first, const std::vector<std::string>& second,
                               Index line) const {
    if (options_.header != CsvPart::automatic) return options_.header == CsvPart::present;
    if (std::none_of(first.begin(), first.end(), begins_like_number)) return true;
    const std::size_t shift = second.size() == first.size() + 1 ? 1 : 0;  // a header may lack a name for the row names
    for (std::size_t i = 0; i < first.size() && i + shift < second.size(); ++i)
      if (!begins_like_number(first[i]) && !is_missing_value(first[i]) && csv_number(second[i + shift])) return true;
    if (options_.labels && !position(*options_.labels) &&
        std::find(first.begin(), first.end(), *options_.labels) != first.end())
      return true;
    const std::size_t counted = counted_columns(first);
    if (counted == 1 && !second.empty())
      throw error("line ", line, ": ", first.size() > 1 ? "its only number is" : "it is",
                  " the number of its column, from 0: a name or part of a token? Use --header yes or no "
                  "(CsvOptions::header)");
    return counted > 1;
  }

  [[nodiscard]] static std::string list(const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size(); ++i) text += (i > 0 ? ", " : "") + names[i];
    return text;
  }

  void take_names(const std::vector<std::string>& names, Index line, std::size_t width) {
    named_ = true;
    names_ = names;
    if (width == names.size() + 1) names_.insert(names_.begin(), std::string());
    width_ = names_.size();
    columns_.resize(width_);
    notes_.push_back(concatenate("line ", line, " taken as names: ", quote(list(names))));
    find_chosen();
  }

  [[nodiscard]] static std::optional<std::size_t> position(const std::string& text) {
    std::size_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
  }

  /// The column with this name or else this number.
  [[nodiscard]] std::size_t find_column(const std::string& wanted, std::string_view what) const {
    const auto found = std::find(names_.begin(), names_.end(), wanted);
    if (named_ && found != names_.end()) {
      if (std::find(found + 1, names_.end(), wanted) != names_.end())
        throw error(what, ": several columns are named ", quote(wanted), ": give its number, from 1");
      return static_cast<std::size_t>(found - names_.begin());
    }
    const auto number = position(wanted);
    if (number && *number >= 1 && *number <= width_) return *number - 1;
    throw error(what, ": expected the name or number (1 to ", width_, ") of a column, found ", quote(wanted),
                named_ ? concatenate("; the names are ", quote(list(names_))) : "; the file has no names");
  }

  void find_chosen() {
    if (options_.labels) labels_at_ = find_column(*options_.labels, "labels");
    for (const std::string& wanted : options_.columns) {
      chosen_.push_back(find_column(wanted, "columns"));
      if (labels_at_ == chosen_.back()) throw error("columns: ", quote(wanted), " is the column of labels");
    }
  }

  void add(const std::vector<std::string>& fields, Index line) {
    if (fields.size() != width_)
      throw error("line ", line, ": expected ", width_,
                  lines_ == 0 ? " fields as in the names of the columns" : " numbers as in the lines before",
                  ", found ", fields.size());
    for (std::size_t i = 0; i < width_; ++i) {
      const std::string& field = fields[i];
      Column& column = columns_[i];
      const std::optional<double> value = csv_number(field);
      const bool number = value && std::isfinite(*value);
      if (!number && column.first_bad_line == 0) {
        column.first_bad_line = line;
        column.bad = field;
      }
      column.empty = column.empty && field.empty();
      column.counts = column.counts && (!value || is_digits(field));
      column.from_zero = column.from_zero && value == static_cast<double>(lines_) && is_digits(field);
      column.from_one = column.from_one && value == static_cast<double>(lines_ + 1) && is_digits(field);
      values_.push_back(number ? *value : 0);
    }
    if (labels_at_) labels_.push_back(class_of(fields[*labels_at_], line));
    ++lines_;
  }

  [[nodiscard]] static bool is_digits(std::string_view field) {
    return field.find_first_not_of("0123456789") == std::string_view::npos;
  }

  [[nodiscard]] Index class_of(const std::string& label, Index line) {
    if (is_missing_label(label))
      throw error("line ", line, ", ", place_in_line(*labels_at_), ": expected a label, found ",
                  label.empty() ? "none" : "a missing value, " + quote(label));
    return classes_.try_emplace(label, static_cast<Index>(classes_.size())).first->second;
  }

  [[nodiscard]] std::string place_in_line(std::size_t i) const {
    return concatenate("field ", i + 1, named_ ? " (" + quote(names_[i]) + ")" : std::string());
  }

  [[nodiscard]] std::string column_name(std::size_t i) const {
    return concatenate("column ", i + 1, named_ ? " (" + quote(names_[i]) + ")" : std::string());
  }

  /// Whether the first column counts or names the lines.
  [[nodiscard]] bool has_index() const {
    if (options_.index != CsvPart::automatic) return options_.index == CsvPart::present;
    if (width_ < 2 || labels_at_ == std::size_t{0}) return false;
    const bool nameless = named_ && (names_[0].empty() || names_[0] == "Unnamed: 0");
    if (nameless && columns_[0].counts) return true;
    if (nameless)
      throw error(
          "column 1 has no name, like an index, but numbers with a decimal point: use --index yes or no "
          "(CsvOptions::index)");
    if (!columns_[0].from_zero && !columns_[0].from_one) return false;
    std::string name = named_ ? names_[0] : std::string();
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    for (const std::string_view known : {"index", "id", "idx", "row", "rows", "row_id", "rowid", "rownames",
                                         "row_names", "no", "no.", "nr", "nr.", "number", "#", "level_0"})
      if (name == known) return true;
    if (lines_ < (named_ ? 2 : 3)) return false;
    throw error(column_name(0), " counts the lines, ", columns_[0].from_zero ? 0 : 1, ", ",
                columns_[0].from_zero ? 1 : 2,
                ", ...: an index or a coordinate? Use --index yes or no (CsvOptions::index), or choose columns");
  }

  [[nodiscard]] std::vector<std::size_t> coordinates() {
    if (!chosen_.empty()) return chosen_;
    std::vector<std::size_t> kept;
    const bool index = has_index();
    if (index) notes_.push_back(concatenate(column_name(0), " taken as the index of the lines, left out"));
    for (std::size_t i = index ? 1 : 0; i < width_; ++i) {
      if (labels_at_ == i) continue;
      if (i > 0 && i + 1 == width_ && columns_[i].empty && names_[i].empty())
        notes_.push_back(concatenate("column ", i + 1, " is empty, after a separator at the end of lines: left out"));
      else
        kept.push_back(i);
    }
    if (kept.empty()) throw error("expected columns of numbers, found only index and labels");
    return kept;
  }

  void check_numbers(const std::vector<std::size_t>& kept) const {
    std::optional<std::size_t> worst;
    for (const std::size_t i : kept)
      if (columns_[i].first_bad_line > 0 && (!worst || columns_[i].first_bad_line < columns_[*worst].first_bad_line))
        worst = i;
    if (!worst) return;
    const Column& column = columns_[*worst];
    throw error("line ", column.first_bad_line, ", ", place_in_line(*worst), ": expected a finite number, found ",
                quote(column.bad), csv_cause(column.bad));
  }

  void add_classes(CsvTable& table) {
    for (const auto& [label, index] : classes_) table.classes.push_back(label);
    const auto number = [](const std::string& label) {  // never nan, which cannot be ordered
      const double value = csv_number(label).value_or(std::numeric_limits<double>::infinity());
      return std::isnan(value) ? std::numeric_limits<double>::infinity() : value;
    };
    std::stable_sort(table.classes.begin(), table.classes.end(),
                     [&](const std::string& x, const std::string& y) { return number(x) < number(y); });
    std::vector<Index> place(classes_.size());
    for (std::size_t i = 0; i < table.classes.size(); ++i)
      place[static_cast<std::size_t>(classes_.at(table.classes[i]))] = static_cast<Index>(i);
    for (const Index label : labels_) table.labels.push_back(place[static_cast<std::size_t>(label)]);
    notes_.push_back(concatenate(column_name(*labels_at_), " taken as labels: ", count_of(classes_.size(), "class")));
  }

  [[nodiscard]] CsvTable table() {
    CsvTable table;
    const std::vector<std::size_t> kept = coordinates();
    check_numbers(kept);
    const Eigen::Map<const Matrix<double>> all(values_.data(), static_cast<Index>(width_), lines_);
    table.tokens.resize(static_cast<Index>(kept.size()), lines_);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      table.tokens.row(static_cast<Index>(i)) = all.row(static_cast<Index>(kept[i]));
      if (named_) table.columns.push_back(names_[kept[i]]);
    }
    if (labels_at_) add_classes(table);
    if (records_.comments() > 0)
      notes_.push_back(concatenate(records_.comments(), " lines that begin with # left out"));
    table.notes = std::move(notes_);
    return table;
  }

  CsvRecords records_;
  std::string source_;
  const CsvOptions& options_;
  bool named_ = false;
  std::size_t width_ = 0;
  std::vector<std::string> names_;  // empty strings if the file has no names
  std::vector<Column> columns_;
  std::vector<std::size_t> chosen_;
  std::optional<std::size_t> labels_at_;
  Index lines_ = 0;  // number of lines with tokens
  std::vector<double> values_;
  std::map<std::string, Index> classes_;  // in order of appearance
  std::vector<Index> labels_;
  std::vector<std::string> notes_;
};

}  // namespace crate::detail
