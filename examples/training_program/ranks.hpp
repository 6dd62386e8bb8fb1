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

#include "crate/core/detail/count_of.hpp"
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

/// While it lives, only the first rank prints; the errors that another one reports are kept.
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
inline void warn_of_bound_cores(const std::string& program, const crate::LaunchedProcess& launched) {
  const int usable = program_options::usable_cores();
  const int share = program_options::cores_of_machine() / std::max(1, launched.count_on_machine);
  if (usable < share)
    std::cerr << program << ": each process is bound to " << crate::detail::count_of(usable, "core") << ", although "
              << share << " are available per process; mpirun --bind-to none lets it use all of them\n";
}

#endif

/// Says so if processes have nothing to do: a batch has min(--lanes, number of micro-batches) lanes, and a process
/// without a lane idles.
inline void warn_of_idle_ranks(const Options& o) {
  const crate::BatchCut& cut = o.trainer.cut;
  const Index lanes = std::min(cut.lanes, (o.trainer.batch + cut.micro_batch - 1) / cut.micro_batch);
  if (lanes < o.trainer.ranks->size())
    std::cerr << o.program << ": only " << lanes << " of " << o.trainer.ranks->size()
              << (lanes == 1 ? " processes has" : " processes have") << " work, because a batch has "
              << (lanes < cut.lanes ? crate::detail::count_of(lanes, "micro-batch") + "; use a smaller --micro-batch\n"
                                    : crate::detail::count_of(lanes, "lane") + "; use more --lanes\n");
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
    warn_of_bound_cores(options.program, *launched);
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
  std::cerr << options.program << ": " << error.what() << '\n';
  return 1;
}

#else

/// What `main` returns: what main_of_rank() does, unless this is one of several processes, which without MPI do not
/// know each other.
template <class Main>
[[nodiscard]] int run_ranks(Options& options, const Main& main_of_rank) {
  const auto launched = crate::launched_process();
  if (!launched || launched->count == 1) return main_of_rank();
  std::cerr << options.program << ": this is one of " << launched->count
            << " processes, but the program was built without MPI, and each would train its own model; install MPI "
            << "(Debian: apt-get install libopenmpi-dev openmpi-bin) and build again\n";
  return 1;
}

#endif

/// What `main` of a program of this name that trains returns.
template <class Main>
[[nodiscard]] int on_all_ranks(const std::string& program, Options& options, const Main& main_of_rank) {
  options.program = program;
#ifdef SIGPIPE
  std::signal(SIGPIPE, SIG_IGN);  // a training goes on when nobody reads what it prints, from the first line on
#endif
  return run_ranks(options, main_of_rank);
}

}  // namespace training_program
