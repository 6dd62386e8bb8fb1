// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), beside Eigen.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "crate/core/matrix.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/file_replacement.hpp"

namespace crate {

/// What happened in a training, a JSON object a line, each with the "step" after which it was written.
class HistoryFile {
 public:
  /// Keeps the lines of the first `step` steps of what is there, and goes on behind them: a training that was killed may have
  /// written more than its last checkpoint knows of. Throws FileError if the file cannot be read or written.
  HistoryFile(std::filesystem::path path, Index step) : path_(std::move(path)) {
    std::string kept;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) {
      const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (entry.is_object() && entry.contains("step") && entry["step"].is_number_integer() && entry["step"] <= step)
        kept += line + '\n';
    }
    FileReplacement replacement(path_);
    replacement.write(kept);
    replacement.commit();
  }

  /// Appends a line. Throws FileError if it cannot be written.
  void write(const nlohmann::ordered_json& entry) const {
    std::ofstream file(path_, std::ios::app);
    file << entry.dump() << '\n';
    if (!file.flush()) throw file_error(path_.string(), "cannot be written");
  }

 private:
  std::filesystem::path path_;
};

}  // namespace crate
