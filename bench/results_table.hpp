// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "results.hpp"

namespace crate::bench {

/// The number rounded to a whole one, with commas between thousands.
[[nodiscard]] inline std::string grouped(double number) {
  std::string digits = std::to_string(std::llround(number));
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

/// Three significant digits where the number is small.
[[nodiscard]] inline std::string short_number(double number) {
  char text[32];
  std::snprintf(text, sizeof text, number < 10 ? "%.3f" : number < 100 ? "%.2f" : "%.1f", number);
  return text;
}

/// One row, its fields set to the right of columns of fixed width.
class TableRow {
 public:
  explicit TableRow(const std::string& head) : text_(head) {
    text_.resize(std::max<std::size_t>(head.size(), 30), ' ');
  }

  TableRow& add(const std::string& field, std::size_t width) {
    text_ += std::string(width - std::min(width, field.size()), ' ') + field;
    return *this;
  }
  TableRow& add(std::optional<long> number, std::size_t width) {
    return add(number ? std::to_string(*number) : std::string(), width);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

[[nodiscard]] inline std::string phrase_of(const std::string& pass) {
  return pass == "forward_backward" ? "forward and backward" : pass;
}

[[nodiscard]] inline std::string table_row(const Result& result) {
  TableRow row("  " + phrase_of(result.pass));
  row.add(result.argument("dim"), 6).add(result.argument("tokens"), 8);
  row.add(result.argument("batch"), 7).add(result.argument("threads"), 9);
  if (!result.error.empty()) return row.text() + "   " + result.error;
  const auto tokens = result.counter("tokens/s"), gigaflops = result.counter("GFLOP/s"),
             share = result.counter("%peak");
  row.add(short_number(result.milliseconds), 11).add(tokens ? grouped(*tokens) : "", 13);
  row.add(gigaflops ? short_number(*gigaflops) : "", 10).add(share ? grouped(*share) + " %" : "", 9);
  return row.text();
}

/// The results by subject, in the order in which the subjects came.
inline void print_table(std::ostream& out, const std::vector<Result>& results) {
  TableRow header("");
  header.add("dim", 6).add("tokens", 8).add("batch", 7).add("threads", 9);
  header.add("ms", 11).add("tokens/s", 13).add("GFLOP/s", 10).add("of peak", 9);
  out << '\n' << header.text() << '\n';
  std::vector<std::string> shown;
  for (const Result& first : results) {
    if (std::find(shown.begin(), shown.end(), first.subject) != shown.end()) continue;
    shown.push_back(first.subject);
    out << first.subject << '\n';
    for (const Result& result : results)
      if (result.subject == first.subject) out << table_row(result) << '\n';
  }
}

}  // namespace crate::bench
