// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <streambuf>
#include <string>

#include "crate/core/errors.hpp"
#include "crate/core/launched_process.hpp"
#include "crate/training/communicator.hpp"
#include "program_options/program_options.hpp"
#include "training_program/options.hpp"
#ifdef CRATE_MPI
#include "crate/training/mpi.hpp"
#endif

// Programs that train, as one process or, under mpirun, as many.

namespace training_program {

inline constexpr int interrupted = 130;  ///< exit code, as after Ctrl-C

#ifdef CRATE_MPI

/// While it lives, of all ranks the first alone prints; what another says of errors is kept.
class FirstRankPrints {
 public:
  explicit FirstRankPrints(const crate::Communicator& ranks) {
    if (ranks.is_first()) return;
    before_ = std::cerr.rdbuf(said_.rdbuf());
    if (std::freopen("/dev/null", "w", stdout) == nullptr) std::fclose(stdout);
  }
  FirstRankPrints(const FirstRankPrints&) = delete;
  FirstRankPrints& operator=(const FirstRankPrints&) = delete;
  ~FirstRankPrints() {
    if (before_ != nullptr) std::cerr.rdbuf(before_);
  }

  /// What a rank that does not print would have said.
  [[nodiscard]] std::string said() const {
    std::string text = said_.str();
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }

 private:
  std::ostringstream said_;
  std::streambuf* before_ = nullptr;
};

/// mpirun binds each of two processes to one core, which all threads of it then share.
inline void tell_of_bound_cores(const crate::LaunchedProcess& launched) {
  const int usable = program_options::usable_cores();
  const int share = program_options::cores_of_machine() / std::max(1, launched.count_on_machine);
  if (usable < share)
    std::cerr << "each process may use " << usable << " of the " << share
              << " cores that there are for it; mpirun --bind-to none gives it all of them\n";
}

#endif

/// There are as many lanes as are asked for, if there are as many micro-batches.
inline void tell_of_idle_ranks(const Options& o) {
  const crate::BatchCut& cut = o.trainer.cut;
  const Index lanes = std::min(cut.lanes, (o.trainer.batch + cut.micro_batch - 1) / cut.micro_batch);
  if (lanes < o.trainer.ranks->size())
    std::cerr << lanes << " of " << o.trainer.ranks->size() << " processes have work, as a batch is cut into " << lanes
              << (lanes < cut.lanes ? " micro-batches; a smaller --micro-batch" : " lanes; more --lanes")
              << " would give it to more of them\n";
}

#ifdef CRATE_MPI

/// Throws Error if MPI has found other processes than the launcher says it started: then it is the launcher of another
/// MPI, and the processes would train one model each.
inline void check_count(const crate::Communicator& ranks, const crate::LaunchedProcess& launched) {
  if (ranks.size() != launched.count)
    throw crate::Error(crate::concatenate("MPI: expected ", launched.count,
                                          " processes, as many as were started together, found ", ranks.size(),
                                          "; the launcher must be that of the MPI which the program is built with"));
}

/// What main_of_rank() returns, on every rank. An error at one ends all.
template <class Main>
[[nodiscard]] int run_rank(Options& options, const Main& main_of_rank) {
  crate::Mpi ranks;
  const FirstRankPrints prints(ranks);
  if (const auto launched = crate::launched_process()) {
    check_count(ranks, *launched);
    tell_of_bound_cores(*launched);
  }
  options.trainer.ranks = &ranks;
  const int exit_code = main_of_rank();
  std::fflush(stdout);
  if (exit_code != 0 && exit_code != interrupted) ranks.end_all(exit_code, prints.said());
  return exit_code;
}

/// What `main` returns: what main_of_rank() does, on every rank if a launcher started several.
template <class Main>
[[nodiscard]] int run_ranks(Options& options, const Main& main_of_rank) try {
  return crate::is_launched() ? run_rank(options, main_of_rank) : main_of_rank();
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}

#else

/// What `main` returns: what main_of_rank() does, unless this is one of several processes, which without MPI do not
/// know each other.
template <class Main>
[[nodiscard]] int run_ranks(Options&, const Main& main_of_rank) {
  const auto launched = crate::launched_process();
  if (!launched || launched->count == 1) return main_of_rank();
  std::cerr << "expected one process, found one of " << launched->count
            << " that were started together and would train " << launched->count
            << " models; built with MPI (Debian: apt-get install libopenmpi-dev openmpi-bin), the "
            << "program trains one with all of them\n";
  return 1;
}

#endif

/// What `main` of a program that trains returns.
template <class Main>
[[nodiscard]] int on_all_ranks(Options& options, const Main& main_of_rank) {
#ifdef SIGPIPE
  std::signal(SIGPIPE, SIG_IGN);  // a training goes on when nobody reads what it prints, from the first line on
#endif
  return run_ranks(options, main_of_rank);
}

}  // namespace training_program
