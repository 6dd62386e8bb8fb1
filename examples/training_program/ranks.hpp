// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <streambuf>
#include <string>

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

/// What `main` returns: what main_of_rank() does, on every rank that mpirun started. An error at one ends all.
template <class Main>
[[nodiscard]] int on_all_ranks(Options& options, const Main& main_of_rank) {
#ifdef SIGPIPE
  std::signal(SIGPIPE, SIG_IGN);  // a training goes on when nobody reads what it prints, from the first line on
#endif
#ifdef CRATE_MPI
  if (const auto launched = crate::launched_process()) {
    crate::Mpi ranks;
    const FirstRankPrints prints(ranks);
    tell_of_bound_cores(*launched);
    options.trainer.ranks = &ranks;
    const int exit_code = main_of_rank();
    std::fflush(stdout);
    if (exit_code != 0 && exit_code != interrupted) ranks.end_all(exit_code, prints.said());
    return exit_code;
  }
#else
  static_cast<void>(options);  // the trainer notices where there should be several ranks
#endif
  return main_of_rank();
}

}  // namespace training_program
