// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "inspect_model/measurement.hpp"

namespace inspect_model::detail {

/// Layers first to last - 1 that stand in one list and have equally many heads.
struct Run {
  std::size_t first, last;

  [[nodiscard]] Index length() const { return static_cast<Index>(last - first); }
  /// Their numbers in the list.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> numbers;
    for (std::size_t i = first; i < last; ++i) numbers.push_back(std::to_string(i - first + 1));
    return numbers;
  }
};

inline std::vector<Run> runs_in(const Measurement& one) {
  std::vector<Run> runs;
  const auto& u = one.subspaces;
  for (std::size_t i = 0; i < u.size(); ++i) {
    const bool goes_on = i > 0 && list_of(u[i].name) == list_of(u[i - 1].name) && u[i].heads == u[i - 1].heads;
    if (!goes_on) runs.push_back({i, i});
    runs.back().last = i + 1;
  }
  return runs;
}

/// ", encoder" where a model has several runs.
inline std::string of_run(const Measurement& one, const Run& run) {
  const std::string& name = one.subspaces[run.first].name;
  return runs_in(one).size() > 1 ? ", " + name.substr(0, name.find('.')) : "";
}

}  // namespace inspect_model::detail
