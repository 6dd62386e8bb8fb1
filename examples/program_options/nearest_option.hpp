// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace program_options {

/// The Levenshtein distance: how many characters have to be inserted, removed or replaced to make one word the other.
[[nodiscard]] inline std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = row[0];  // of the row above, to the left
    row[0] = i;
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

/// The option that a mistyped word such as "--eopchs", "-epochs" or "--epoch=3" is likely to stand for, "--epochs": the
/// only one that begins with it, or else the one at the least edit distance. That must be at most a third of the
/// word's length, or at most 2 if this is less, or 1 for words of at most 3 letters. Empty if there is none.
[[nodiscard]] inline std::string nearest_option(const CLI::App& app, std::string_view word) {
  if (!word.starts_with('-')) return {};
  word.remove_prefix(std::min(word.size(), word.find_first_not_of('-')));
  word = word.substr(0, word.find('='));
  if (word.empty()) return {};
  std::size_t nearer_than = 1 + std::max<std::size_t>(word.size() > 3 ? 2 : 1, word.size() / 3);
  std::vector<std::string> beginning;
  std::string nearest;
  for (const CLI::Option* const option : app.get_options())
    for (const std::string& name : option->get_lnames()) {
      if (name.starts_with(word)) beginning.push_back(name);
      const std::size_t distance = edit_distance(word, name);
      if (distance >= std::min(nearer_than, name.size())) continue;
      nearer_than = distance;
      nearest = name;
    }
  if (beginning.size() == 1) nearest = beginning.front();
  return nearest.empty() ? "" : "--" + nearest;
}

}  // namespace program_options
