// SPDX-License-Identifier: MIT
// How a WhiteBoxReport is written as text.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace crate {

namespace detail {

template <class... Values>
[[nodiscard]] std::string printed(const char* format, Values... values) {
  std::array<char, 512> line{};
  const int length = std::snprintf(line.data(), line.size(), format, values...);
  return {line.data(), static_cast<std::size_t>(std::clamp(length, 0, 511))};
}

/// Writes a paragraph in lines of at most 100 columns.
inline void write_paragraph(std::ostream& out, const std::string& words) {
  constexpr std::size_t most_columns = 100;
  std::size_t begin = 0;
  while (words.size() - begin > most_columns) {
    const std::size_t blank = words.rfind(' ', begin + most_columns);
    if (blank == std::string::npos || blank <= begin) break;
    out << words.substr(begin, blank - begin) << "\n";
    begin = blank + 1;
  }
  out << words.substr(begin) << "\n";
}

[[nodiscard]] inline std::string rose_or_fell(double before, double after) {
  return printed("%s from %.1f to %.1f nats per token", after >= before ? "rose" : "fell", before, after);
}

[[nodiscard]] inline std::string words_on_reduction(const WhiteBoxReport& report) {
  const WhiteBoxMeasures &before = report.half_layers.front(), &after = report.half_layers.back();
  std::string words =
      "R - R^c, the saving from knowing the subspaces, " + rose_or_fell(before.reduction(), after.reduction());
  const double thresholds = report.rate_change("sparsify");
  if (after.reduction() < before.reduction())
    words += printed(": compression steps changed R by %+.1f, sparsifying steps, which set entries to zero, by %+.1f",
                     report.rate_change("compress"), thresholds);
  return words + ".";
}

[[nodiscard]] inline std::string words_on_overlap(const WhiteBoxReport& report) {
  const WhiteBoxMeasures& after = report.half_layers.back();
  constexpr double nearly_shared = 0.9;
  if (after.reduction() >= 0)
    return printed("R - R^c is positive%s (largest cosine between two: %.2f).",
                   report.overlap < nearly_shared ? ": the subspaces are apart"
                                                  : ", although some subspaces nearly share a direction",
                   report.overlap);
  return printed(
      "R - R^c is negative: the subspaces share directions (largest cosine between two: %.2f), which R^c "
      "counts once for each. Fewer subspaces, or of a smaller dimension, would overlap less.",
      report.overlap);
}

[[nodiscard]] inline std::string words_on_objective(const WhiteBoxReport& report) {
  return printed("The objective, R - R^c minus %g nats for each non-zero entry of a token, ", entry_cost) +
         rose_or_fell(report.half_layers.front().objective(), report.half_layers.back().objective()) + ".";
}

/// Where compression stops helping.
[[nodiscard]] inline std::string words_on_depth(const WhiteBoxReport& report) {
  const auto less = [](const WhiteBoxMeasures& a, const WhiteBoxMeasures& b) {
    return a.partition_reduction() < b.partition_reduction();
  };
  const auto best = std::max_element(report.half_layers.begin(), report.half_layers.end(), less);
  const double start = report.half_layers.front().partition_reduction();
  std::string words =
      printed("R - R^c(Pi), with each token coded only in its own subspace, changed from %.1f to %.1f nats per token",
              start, report.half_layers.back().partition_reduction());
  if (report.half_layers.end() - best <= 2) return words + ", and rose up to the last compression.";
  return words + printed(", and was largest, %.2f, after '%s': the layers after it compress no further.",
                         best->partition_reduction(), best->name.c_str());
}

[[nodiscard]] inline std::string words_on_code(const WhiteBoxReport& report) {
  const WhiteBoxMeasures &before = report.half_layers.front(), &after = report.half_layers.back();
  std::string words = printed("%.1f %% of the code's entries are not zero", 100 * after.non_zero);
  if (before.energy > 0 && after.energy <= before.energy)
    words += printed("; the thresholds took %.0f %% of the tokens' energy, of which decoding restores a part",
                     100 * (1 - after.energy / before.energy));
  return words + printed(". Decoded, the tokens have a relative error of %.3f.", report.decoding_error);
}

[[nodiscard]] inline std::string words_on_classes(const WhiteBoxReport& report) {
  const ClassSeparation &before = *report.half_layers.front().classes, &after = *report.half_layers.back().classes;
  return printed(
      "Classes, which were not used in fitting: tokens of one class are %.2f times as similar as tokens of different "
      "classes (%.2f before), and the nearest neighbour has the same class for %.1f %% (%.1f %% before).",
      after.separation, before.separation, 100 * after.nearest_neighbour, 100 * before.nearest_neighbour);
}

inline void write_row(std::ostream& out, const WhiteBoxMeasures& row, bool with_classes) {
  out << printed("  %-12s %8.2f %10.2f %9.2f %12.2f %8.1f %% %10.1f", row.name.c_str(), row.rate, row.subspace_rate,
                 row.reduction(), row.partition_reduction(), 100 * row.non_zero, row.objective());
  if (with_classes) out << printed(" %11.2f %6.1f %%", row.classes->separation, 100 * row.classes->nearest_neighbour);
  out << "\n";
}

}  // namespace detail

inline double WhiteBoxReport::rate_change(const std::string& kind) const {
  double change = 0;
  for (std::size_t i = 1; i < half_layers.size(); ++i)
    if (half_layers[i].name.ends_with(kind)) change += half_layers[i].rate - half_layers[i - 1].rate;
  return change;
}

inline bool WhiteBoxReport::compares_classes() const {
  return !half_layers.empty() && std::all_of(half_layers.begin(), half_layers.end(),
                                             [](const WhiteBoxMeasures& row) { return row.classes.has_value(); });
}

inline std::vector<std::string> WhiteBoxReport::in_words() const {
  if (half_layers.empty()) return {};
  std::vector<std::string> words = {detail::words_on_reduction(*this), detail::words_on_overlap(*this),
                                    detail::words_on_objective(*this), detail::words_on_depth(*this),
                                    detail::words_on_code(*this)};
  if (compares_classes()) words.push_back(detail::words_on_classes(*this));
  if (!why_no_classes.empty()) words.push_back(why_no_classes);
  return words;
}

/// Writes the table and the sentences.
inline std::ostream& operator<<(std::ostream& out, const WhiteBoxReport& report) {
  const bool has_classes = report.compares_classes();
  out << detail::printed("Rates in nats per token, at a precision of %.3g of a token's length; ", report.epsilon)
      << detail::printed("objective: R - R^c - %g nats x ||Z||_0 / N\n", entry_cost)
      << "  after            R(Z)     R^c(U)   R - R^c  R - R^c(Pi)   non-zero  objective"
      << (has_classes ? "  separation  nearest\n" : "\n");
  for (const WhiteBoxMeasures& row : report.half_layers) detail::write_row(out, row, has_classes);
  for (const std::string& sentence : report.in_words()) detail::write_paragraph(out, sentence);
  if (has_classes && !report.compares_all)
    out << "Separation and neighbours are those of 4096 tokens, drawn at random.\n";
  return out;
}

}  // namespace crate
