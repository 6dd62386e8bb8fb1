// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <streambuf>
#include <string>

#include "crate/core/launched_process.hpp"
#include "crate/training/communicator.hpp"
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

#endif

/// What `main` returns: what main_of_rank() does, on every rank that mpirun started. An error at one ends all.
template <class Main>
[[nodiscard]] int on_all_ranks(Options& options, const Main& main_of_rank) {
#ifdef SIGPIPE
  std::signal(SIGPIPE, SIG_IGN);  // a training goes on when nobody reads what it prints, from the first line on
#endif
#ifdef CRATE_MPI
  if (crate::launched_process()) {
    crate::Mpi ranks;
    const FirstRankPrints prints(ranks);
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
