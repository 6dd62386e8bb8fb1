// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/file_bytes.hpp"

namespace crate {

/// All of a text file, as it is. Throws FileError if the path names no regular file, or one that cannot be read.
[[nodiscard]] inline std::string read_text(const std::filesystem::path& path) {
  const FileBytes file(path, FileAccess::copy);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

/// The lines of a text file, from any system: without line ends ("\n" or "\r\n"), the byte order mark in front, and
/// empty lines at the end. Throws as read_text.
[[nodiscard]] inline std::vector<std::string> read_lines(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  std::string_view rest = text;
  if (constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF"; rest.starts_with(byte_order_mark))
    rest.remove_prefix(byte_order_mark.size());
  std::vector<std::string> lines;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : line.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace crate
