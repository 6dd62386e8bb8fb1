// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
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

/// Where launchers say the rank: Open MPI's, those that speak PMI, those that speak PMIx, such as Slurm's.
inline constexpr std::array<const char*, 3> ranks_in_environment{"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"};

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

/// Whether a launcher of MPI programs started this process, with others or alone.
[[nodiscard]] inline bool is_launched() {
  return std::any_of(detail::ranks_in_environment.begin(), detail::ranks_in_environment.end(),
                     [](const char* name) { return detail::number_in_environment(name).has_value(); });
}

/// What Open MPI's mpirun, or another launcher that speaks PMI or PMIx, says of this process in its environment;
/// nothing if it was started alone, or if the launcher does not say with how many.
[[nodiscard]] inline std::optional<LaunchedProcess> launched_process() {
  struct Variables {
    const char *rank, *count, *count_on_machine;
  };
  constexpr std::array<Variables, 3> launchers{
      {{detail::ranks_in_environment[0], "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"},
       {detail::ranks_in_environment[1], "PMI_SIZE", "MPI_LOCALNRANKS"},
       {detail::ranks_in_environment[2], "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE"}}};
  for (const Variables& variables : launchers) {
    const auto rank = detail::number_in_environment(variables.rank);
    const auto count = detail::number_in_environment(variables.count);
    if (rank && count && *rank >= 0 && *rank < *count)
      return LaunchedProcess{*rank, *count, detail::number_in_environment(variables.count_on_machine).value_or(1)};
  }
  return std::nullopt;
}

}  // namespace crate
