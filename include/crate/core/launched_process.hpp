// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace crate {

/// A process that was started together with others.
struct LaunchedProcess {
  int rank = 0;              ///< 0, ..., count - 1
  int count = 1;             ///< of all
  int count_on_machine = 1;  ///< of those on the same machine
};

namespace detail {

/// The number in an environment variable; nothing unless it holds one.
[[nodiscard]] inline std::optional<int> number_in_environment(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): it is only read
  if (value == nullptr) return std::nullopt;
  const std::string_view text = value;
  int number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace detail

/// What Open MPI's mpirun, or another launcher that speaks PMI, says of this process in its environment; nothing if it
/// was started alone.
[[nodiscard]] inline std::optional<LaunchedProcess> launched_process() {
  struct Variables {
    const char *rank, *count, *count_on_machine;
  };
  constexpr std::array<Variables, 2> launchers{
      {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"},
       {"PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"}}};
  for (const Variables& variables : launchers) {
    const auto rank = detail::number_in_environment(variables.rank);
    const auto count = detail::number_in_environment(variables.count);
    if (rank && count && *rank >= 0 && *rank < *count)
      return LaunchedProcess{*rank, *count, detail::number_in_environment(variables.count_on_machine).value_or(1)};
  }
  return std::nullopt;
}

}  // namespace crate
