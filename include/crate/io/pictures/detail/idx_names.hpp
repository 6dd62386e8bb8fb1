// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/pictures/detail/folder_entries.hpp"

// MNIST and similar data sets consist of four files, whose names are spelt differently by different packers.

namespace crate::detail {

/// The information in the name of an IDX file.
struct IdxName {
  std::string data_set;  ///< the text before the common part: empty for MNIST, "emnist-balanced-" for EMNIST
  std::size_t part = 0;  ///< which of the four files: training images, training labels, test images, test labels
  int departure = 0;     ///< distance from the original name of the uncompressed file; of two candidates the closer one
                         ///< is read
};

inline constexpr std::array<std::string_view, 4> idx_names{"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                                           "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/// Parses the name of an IDX file; nothing for other names. Recognises upper and lower case; '-', '.' and
/// '_' between words, as in train-images.idx3-ubyte; "test" for "t10k"; any prefix that ends in one of the
/// three; and .gz at the end.
[[nodiscard]] inline std::optional<IdxName> parse_idx_name(std::string_view file_name) {
  constexpr std::array<std::pair<std::string_view, std::size_t>, 6> endings{{{idx_names[0], 0},
                                                                             {idx_names[1], 1},
                                                                             {idx_names[2], 2},
                                                                             {idx_names[3], 3},
                                                                             {"test-images-idx3-ubyte", 2},
                                                                             {"test-labels-idx1-ubyte", 3}}};
  if (file_name.starts_with('.')) return {};
  std::string name;
  for (const char c : file_name)
    name += c == '.' || c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const bool packed = name.ends_with("-gz");
  if (packed) name.resize(name.size() - 3);
  for (const auto& [ending, part] : endings) {
    if (!name.ends_with(ending)) continue;
    const std::string data_set = name.substr(0, name.size() - ending.size());
    const bool other_spelling = !file_name.starts_with(name);
    if (data_set.empty() || data_set.back() == '-')
      return IdxName{data_set, part, (packed ? 2 : 0) + (other_spelling ? 1 : 0)};
  }
  return {};
}

/// The four files of a data set; paths of missing files are empty.
struct IdxFiles {
  std::array<std::filesystem::path, 4> paths;
  std::array<int, 4> departures;

  /// The first missing file; idx_names.size() if none is missing.
  [[nodiscard]] std::size_t missing() const {
    return static_cast<std::size_t>(std::find(paths.begin(), paths.end(), std::filesystem::path()) - paths.begin());
  }
};

/// All data sets in a folder, complete or not, by their prefixes. A file may be inside a folder of the same name.
[[nodiscard]] inline std::map<std::string, IdxFiles> find_idx_data_sets(const std::filesystem::path& folder) {
  constexpr int farthest = std::numeric_limits<int>::max();
  std::map<std::string, IdxFiles> found;
  for (const auto& entry : folder_entries(folder)) {
    const std::filesystem::path file_name = entry.path().filename();
    const auto name = parse_idx_name(file_name.string());
    if (!name) continue;
    const bool inside = !is_file(entry.path());
    const std::filesystem::path path = inside ? entry.path() / file_name : entry.path();
    const int departure = name->departure + (inside ? 4 : 0);
    IdxFiles& files =
        found.try_emplace(name->data_set, IdxFiles{{}, {farthest, farthest, farthest, farthest}}).first->second;
    if (departure >= files.departures[name->part] || !is_file(path)) continue;
    files.departures[name->part] = departure;
    files.paths[name->part] = path;
  }
  return found;
}

/// The only complete data set in a folder. Throws FileError that names the missing file, or the data
/// sets if there are several.
[[nodiscard]] inline IdxFiles find_idx_files(const std::filesystem::path& folder) {
  auto found = find_idx_data_sets(folder);
  const auto first = found.empty() ? std::string() : found.begin()->first;
  const std::size_t missing = found.empty() ? 0 : found.begin()->second.missing();
  std::erase_if(found, [](const auto& data_set) { return data_set.second.missing() < idx_names.size(); });
  if (found.empty())
    throw file_error((folder / first).string() + std::string(idx_names[missing]), "cannot be opened: no such file");
  if (found.size() > 1)
    throw file_error(folder.string(), "expected the files of one data set, found ", quote(found.begin()->first + "*"),
                     " and ", quote(std::next(found.begin())->first + "*"));
  return found.begin()->second;
}

}  // namespace crate::detail
