// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "inspect_model/measurement.hpp"

namespace inspect_model::detail {

/// Layers first to last - 1 that stand in one list and have equally many heads.
struct HeadRun {
  std::size_t first, last, begin_of_list;

  [[nodiscard]] Index length() const { return static_cast<Index>(last - first); }
  /// Their numbers in the list, from 0.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> numbers;
    for (std::size_t i = first; i < last; ++i) numbers.push_back(std::to_string(i - begin_of_list));
    return numbers;
  }
};

inline std::vector<HeadRun> runs_in(const Measurement& one) {
  std::vector<HeadRun> runs;
  const auto& u = one.subspaces;
  std::size_t begin_of_list = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    const bool is_of_list = i > 0 && list_of(u[i].name) == list_of(u[i - 1].name);
    if (!is_of_list) begin_of_list = i;
    if (!is_of_list || u[i].heads != u[i - 1].heads) runs.push_back({i, i, begin_of_list});
    runs.back().last = i + 1;
  }
  return runs;
}

/// ", encoder" where a model has several runs.
inline std::string of_run(const Measurement& one, const HeadRun& run) {
  const std::string& name = one.subspaces[run.first].name;
  return runs_in(one).size() > 1 ? ", " + name.substr(0, name.find('.')) : "";
}

}  // namespace inspect_model::detail
