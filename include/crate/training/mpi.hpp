// SPDX-License-Identifier: MIT
// Needs an implementation of MPI (Debian: libopenmpi-dev, openmpi-bin), in addition to Eigen.
#pragma once

// Excludes the C++ bindings, which the MPI standard has removed.
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/launched_process.hpp"
#include "crate/training/communicator.hpp"

namespace crate {

namespace detail {

/// Ends the process if it lives longer than the limit: MPI waits forever for a process that died before it called
/// MPI_Init, and mpirun waits for the processes that wait.
class MpiStartLimit {
 public:
  static constexpr const char* limit_in_environment = "CRATE_MPI_START";

  /// The number of seconds in the environment variable, by default five minutes. Throws OptionError if it is out of
  /// range.
  [[nodiscard]] static std::chrono::seconds of_environment() {
    const char* const text = std::getenv(limit_in_environment);  // NOLINT(concurrency-mt-unsafe): it is only read
    if (text == nullptr) return std::chrono::minutes(5);
    constexpr int most = 1'000'000;
    const int seconds = number_in_environment(limit_in_environment).value_or(0);
    check_option(seconds >= 1 && seconds <= most, concatenate(limit_in_environment, ": seconds from 1 to ", most),
                 concatenate('\'', text, '\''));
    return std::chrono::seconds(seconds);
  }

  explicit MpiStartLimit(std::chrono::seconds longest)
      : watch_([this, longest] {
          std::unique_lock lock(mutex_);
          if (changed_.wait_for(lock, longest, [this] { return has_begun_; })) return;
          std::fprintf(stderr,
                       "MPI: expected all processes to start within %td s, found some that did not; "
                       "set %s=SECONDS in the environment to wait longer\n",
                       static_cast<std::ptrdiff_t>(longest.count()), limit_in_environment);
          std::_Exit(1);
        }) {}
  MpiStartLimit(const MpiStartLimit&) = delete;
  MpiStartLimit& operator=(const MpiStartLimit&) = delete;
  ~MpiStartLimit() {
    {
      const std::lock_guard lock(mutex_);
      has_begun_ = true;
    }
    changed_.notify_one();
    watch_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool has_begun_ = false;
  std::thread watch_;  // must be constructed last, because it uses the other members
};

}  // namespace detail

/// The processes that mpirun started. Create one object per process, in its first thread, before anything is printed.
/// The destructor waits for all ranks; during the unwinding of an exception it ends all ranks as end_all does.
class Mpi final : public Communicator {
 public:
  /// Throws Error if MPI cannot be started, was started before, or does not allow several threads to call it in turn.
  /// Ends the process if the others do not start in time: within five minutes, or the seconds in the environment
  /// variable CRATE_MPI_START.
  explicit Mpi(std::chrono::seconds longest_start = detail::MpiStartLimit::of_environment()) {
    const detail::MpiStartLimit limit(longest_start);
    int begun = 0, found = MPI_THREAD_SINGLE;
    check(MPI_Initialized(&begun), "MPI_Initialized");
    if (begun != 0) throw Error("MPI: expected it not to be started before in this process, found that it was");
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &found), "MPI_Init_thread");
    if (found < MPI_THREAD_SERIALIZED)
      throw Error(concatenate("MPI: expected that several threads may call it in turn (MPI_THREAD_SERIALIZED = ",
                              MPI_THREAD_SERIALIZED, "), found level ", found));
    check(MPI_Comm_dup(MPI_COMM_WORLD, &world_), "MPI_Comm_dup");
    check(MPI_Comm_set_errhandler(world_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(world_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(world_, &size_), "MPI_Comm_size");
    std::array<char, MPI_MAX_PROCESSOR_NAME> machine{};
    int length = 0;
    check(MPI_Get_processor_name(machine.data(), &length), "MPI_Get_processor_name");
    machines_ = gather("names of machines", {machine.data(), static_cast<std::size_t>(length)});
  }

  ~Mpi() override {
    if (std::uncaught_exceptions() > exceptions_before_) end_all(1, "ended by an exception");
    try {
      static_cast<void>(gather("the end of the program", ""));
    } catch (const Error& error) { end_all(1, error.what()); }
    MPI_Comm_free(&world_);
    MPI_Finalize();
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] std::string name_of(int rank) const override {
    return concatenate("rank ", rank, machines_.empty() ? "" : " on " + machines_[static_cast<std::size_t>(rank)]);
  }

  [[nodiscard]] std::vector<std::string> gather(std::string_view what, std::string_view own) override {
    const std::string sent = concatenate(what, '\0', own);
    const auto length = static_cast<std::int64_t>(sent.size());
    const auto count = static_cast<std::size_t>(size_);
    std::vector<std::int64_t> all_lengths(count);
    check(MPI_Allgather(&length, 1, MPI_INT64_T, all_lengths.data(), 1, MPI_INT64_T, world_), "MPI_Allgather");
    std::vector<int> lengths, begins;
    std::int64_t total = 0;
    for (const std::int64_t of_rank : all_lengths) {
      begins.push_back(static_cast<int>(total));
      lengths.push_back(static_cast<int>(of_rank));
      total += of_rank;
      if (total > std::numeric_limits<int>::max())
        throw Error(concatenate(what, ": expected less than 2 GiB of all ranks, found at least ", total, " bytes"));
    }
    std::string all(static_cast<std::size_t>(total), '\0');
    check(MPI_Allgatherv(sent.data(), lengths[static_cast<std::size_t>(rank_)], MPI_BYTE, all.data(), lengths.data(),
                         begins.data(), MPI_BYTE, world_),
          "MPI_Allgatherv");
    std::vector<std::string> texts;
    for (std::size_t rank = 0; rank < count; ++rank) {
      const std::string_view text(all.data() + begins[rank], static_cast<std::size_t>(lengths[rank]));
      const std::string_view found = text.substr(0, text.find('\0'));
      if (found != what)
        throw Error(concatenate("ranks must do the same: ", name_of(rank_), " is at '", what, "', ",
                                name_of(static_cast<int>(rank)), " at '", found, "'"));
      texts.emplace_back(text.substr(what.size() + 1));
    }
    return texts;
  }

  /// A pipeline: every piece goes up the chain of ranks, which add to it, and its sum comes down again, while other
  /// pieces are elsewhere. Each rank sends every piece up and down once, except that the last rank sends only down and
  /// the first only up. An error, also one that `add` throws, ends all ranks here, because messages in transit still
  /// write into the pieces.
  void add_in_order(std::span<const std::span<std::byte>> pieces, const Addend& addend) override try {
    constexpr int looks_before_pause = 1000;  // less than a millisecond: messages that come soon are received without a
                                              // pause
    const std::size_t count = pieces.size();
    const bool is_last = rank_ == size_ - 1;
    std::vector<Requests> partial_sum(count), going_up(count), sum(count);
    Requests going_down;
    std::size_t added = 0, sent_up = 0, summed = 0;  // pieces
    if (rank_ > 0)
      for (std::size_t i = 0; i < count; ++i) receive(pieces[i], rank_ - 1, partial_sum[i]);
    for (int looks_in_vain = 0; summed < count;) {
      const std::size_t before = added + sent_up + summed;
      if (added < count && is_through(partial_sum[added]) && addend.is_complete(added)) {
        addend.add(added);
        if (!is_last) send(pieces[added], rank_ + 1, going_up[added]);
        ++added;
      }
      if (sent_up < added && is_through(going_up[sent_up])) {  // the memory is then free for the sum
        if (!is_last) receive(pieces[sent_up], rank_ + 1, sum[sent_up]);
        ++sent_up;
      }
      if (summed < sent_up && is_through(sum[summed])) {
        if (rank_ > 0) send(pieces[summed], rank_ - 1, going_down);
        ++summed;
      }
      looks_in_vain = added + sent_up + summed == before ? looks_in_vain + 1 : 0;
      if (looks_in_vain > 0) move_messages();
      if (looks_in_vain > (addend.is_complete(count - 1) ? looks_before_pause : 0)) addend.pause();
    }
    check(MPI_Waitall(static_cast<int>(going_down.size()), going_down.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
  } catch (const std::exception& error) { end_all(1, error.what()); } catch (...) {
    end_all(1, "the sum over ranks failed: the thrown object is not a std::exception");
  }

  void ask_to_wait() override {
    if (rank_ > 0) return;
    std::vector<MPI_Request> going(static_cast<std::size_t>(size_) - 1, MPI_REQUEST_NULL);
    for (int to = 1; to < size_; ++to)
      MPI_Isend(nullptr, 0, MPI_BYTE, to, wait_for_rank_0, world_, &going[static_cast<std::size_t>(to) - 1]);
    comes_soon([&] {
      int sent = 0;
      MPI_Testall(size_ - 1, going.data(), &sent, MPI_STATUSES_IGNORE);
      return sent != 0;
    });
  }

  /// Ends all ranks after an error, with this exit code. Rank 0 does so at once. Other ranks first wait five seconds,
  /// in which rank 0 may meet the same error and report it alone. If rank 0 asks them to wait, they wait until it ends
  /// all ranks, an hour at most.
  [[noreturn]] void end_all(int exit_code, const std::string& sentence) {
    std::signal(SIGTERM, SIG_DFL);
    const bool asked_to_wait = rank_ > 0 && comes_soon([&] {
                                 int found = 0;
                                 MPI_Iprobe(0, wait_for_rank_0, world_, &found, MPI_STATUS_IGNORE);
                                 return found != 0;
                               });
    if (asked_to_wait) std::this_thread::sleep_for(std::chrono::hours(1));
    if (rank_ > 0 || !sentence.empty()) std::fprintf(stderr, "%s: %s\n", name_of(rank_).c_str(), sentence.c_str());
    std::fflush(nullptr);
    MPI_Abort(world_, exit_code);
    std::terminate();
  }

 private:
  using Requests = std::vector<MPI_Request>;

  static constexpr int part_of_a_sum = 0, wait_for_rank_0 = 1;  // tags

  /// Waits up to five seconds for a condition; returns whether it became true.
  template <class Condition>
  static bool comes_soon(const Condition& is_so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!is_so()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  static void check(int found, std::string_view function) {
    if (found == MPI_SUCCESS) return;
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(found, text.data(), &length);
    throw Error(concatenate(function, ": ", std::string_view(text.data(), static_cast<std::size_t>(length))));
  }

  /// Open MPI sends longer messages over TCP only after the receiver has acknowledged each, which halves the throughput
  /// of a chain of ranks.
  static constexpr std::size_t longest_message = 32768;

  void send(std::span<std::byte> piece, int to, Requests& requests) {
    for (; !piece.empty(); piece = piece.subspan(std::min(longest_message, piece.size())))
      check(MPI_Isend(piece.data(), length_of_next(piece), MPI_BYTE, to, part_of_a_sum, world_,
                      &requests.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Isend");
  }

  void receive(std::span<std::byte> piece, int from, Requests& requests) {
    for (; !piece.empty(); piece = piece.subspan(std::min(longest_message, piece.size())))
      check(MPI_Irecv(piece.data(), length_of_next(piece), MPI_BYTE, from, part_of_a_sum, world_,
                      &requests.emplace_back(MPI_REQUEST_NULL)),
            "MPI_Irecv");
  }

  [[nodiscard]] static int length_of_next(std::span<const std::byte> piece) {
    return static_cast<int>(std::min(longest_message, piece.size()));
  }

  [[nodiscard]] static bool is_through(Requests& requests) {
    int through = 0;
    check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &through, MPI_STATUSES_IGNORE),
          "MPI_Testall");
    return through != 0;
  }

  /// Makes progress with messages in transit: MPI_Iprobe for an absent message does, MPI_Testall of complete requests
  /// does not.
  void move_messages() {
    int found = 0;
    check(MPI_Iprobe(MPI_ANY_SOURCE, wait_for_rank_0, world_, &found, MPI_STATUS_IGNORE), "MPI_Iprobe");
  }

  MPI_Comm world_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  int exceptions_before_ = std::uncaught_exceptions();
  std::vector<std::string> machines_;
};

}  // namespace crate
