// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/regular_file.hpp"

namespace crate::detail {

/// The entries of a folder, ordered by name. Throws FileError if it cannot be listed.
[[nodiscard]] inline std::vector<std::filesystem::directory_entry> folder_entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::directory_entry> entries;
  std::error_code failure;
  for (auto entry = std::filesystem::directory_iterator(folder, failure);
       !failure && entry != std::filesystem::directory_iterator(); entry.increment(failure))
    entries.push_back(*entry);
  if (failure) throw file_error(folder.string(), "cannot be listed: ", system_message(failure));
  std::sort(entries.begin(), entries.end());
  return entries;
}

/// Whether the path is a regular file; false if that is unknown.
[[nodiscard]] inline bool is_file(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

}  // namespace crate::detail
