// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/regular_file.hpp"

namespace compress_tokens {

/// The folder that a program fills. It remembers what each file is, and says so at the end.
class OutputFolder {
 public:
  /// Makes the folder unless it is there. Throws FileError if it cannot be written to.
  explicit OutputFolder(std::filesystem::path folder) : folder_(std::move(folder)) {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (!std::filesystem::is_directory(folder_))
      throw crate::file_error(folder_.string(), "--output: expected a folder, or a name to make one by",
                              error ? ": " + crate::system_message(error) : std::string());
    const crate::FileReplacement trial(folder_ / "tokens.safetensors");
  }

  /// Where a file of this name is to be written, of which the phrase tells what it holds.
  [[nodiscard]] std::filesystem::path file(const std::string& name, const std::string& phrase) {
    files_.emplace_back(name, phrase);
    return folder_ / name;
  }

  /// A line for each file.
  void print(std::ostream& out) const {
    std::size_t width = 0;
    for (const auto& [name, phrase] : files_) width = std::max(width, name.size());
    out << "written to " << folder_.string() << "/\n";
    for (const auto& [name, phrase] : files_)
      out << "  " << name << std::string(width + 2 - name.size(), ' ') << phrase << "\n";
  }

 private:
  std::filesystem::path folder_;
  std::vector<std::pair<std::string, std::string>> files_;
};

}  // namespace compress_tokens
