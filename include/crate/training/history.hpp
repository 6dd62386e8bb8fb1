// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/regular_file.hpp"
#include "crate/io/formats/text_file.hpp"

namespace crate {

namespace detail {

struct HistoryLine {
  std::string text;
  Index step;
};

/// The step of a line of history, or -1 if it is not a line of history.
inline Index step_of_history(const std::string& line) {
  const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number_integer()) return -1;
  return entry["step"].get<Index>();
}

/// Whether a line is an incomplete line of history, as a killed program leaves it.
inline bool is_cut_history(std::string_view line) {
  constexpr std::string_view begin = R"({"step":)";
  return !nlohmann::json::accept(line) && !line.empty() && (line.starts_with(begin) || begin.starts_with(line));
}

/// The complete lines of a history; none if the file does not exist. Throws FileError if the file is not a history.
inline std::vector<HistoryLine> read_history(const std::filesystem::path& path) {
  std::vector<HistoryLine> lines;
  if (!path_exists(path)) return lines;
  const std::vector<std::string> texts = read_lines(path);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const Index step = step_of_history(texts[i]);
    if (step >= 0)
      lines.push_back({texts[i], step});
    else if (i + 1 < texts.size() || !is_cut_history(texts[i]))
      throw file_error(path.string(), "line ", i + 1,
                       R"(: expected the history of a training, a JSON object with a "step" in every line, found )",
                       quote(texts[i]));
  }
  return lines;
}

/// How many lines to keep if the training that wrote the last ones is resumed after `step`. Steps ascend within a
/// training; a decrease marks the beginning of another training, and lines before it are kept.
inline std::size_t lines_to_keep(const std::vector<HistoryLine>& lines, Index step) {
  std::size_t kept = lines.size();
  while (kept > 0 && lines[kept - 1].step > step && (kept == lines.size() || lines[kept - 1].step <= lines[kept].step))
    --kept;
  return kept;
}

}  // namespace detail

/// Throws FileError unless a history can be written there: to a new file, or appended to that of other trainings.
inline void check_history(const std::filesystem::path& path) {
  check_replaceable(path);
  static_cast<void>(detail::read_history(path));
}

/// The history of trainings: one JSON object per line, each with the "step" after which it was written.
class HistoryFile {
 public:
  /// Appends to an existing file. Throws FileError if that is not a history, or cannot be read or written.
  explicit HistoryFile(std::filesystem::path path) : path_(std::move(path)) { keep(detail::read_history(path_)); }

  /// Continues the training that wrote the last lines, after `step`. Removes its lines of later steps, which it may
  /// have written after its last checkpoint. Throws FileError as the other constructor.
  HistoryFile(std::filesystem::path path, Index step) : path_(std::move(path)) {
    std::vector<detail::HistoryLine> lines = detail::read_history(path_);
    lines.resize(detail::lines_to_keep(lines, step));
    keep(lines);
  }

  /// Appends a line. Throws FileError if it cannot be written.
  void write(const nlohmann::ordered_json& entry) const { append_text(path_, entry.dump() + '\n'); }

 private:
  /// Replaces the content of the file by these lines, if it differs.
  void keep(const std::vector<detail::HistoryLine>& lines) const {
    std::string kept;
    for (const detail::HistoryLine& line : lines) kept += line.text + '\n';
    if (path_exists(path_) && read_text(path_) == kept) return check_replaceable(path_);
    FileReplacement replacement(path_);
    replacement.write(kept);
    replacement.commit();
  }

  std::filesystem::path path_;
};

}  // namespace crate
