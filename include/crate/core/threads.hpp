// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate {

/// A team of threads, owned by the caller of the library. Work is cut into pieces of which each gives the same result
/// wherever it is done, so results do not depend on how many threads there are. Every thread begins with an equal share
/// of neighbouring pieces and then helps the others: work that is cut alike again and again finds in a thread's cache
/// what it left there. A thread that gets no core, as on a busy machine, holds nobody up: the others do its pieces.
///
/// Safe to use from several threads at once: whoever comes second, or calls from inside a piece, does its own pieces
/// alone.
class Threads {
 public:
  /// A team of `count` threads: the calling one and `count - 1` others, which sleep while there is no work.
  /// Throws OptionError unless count >= 1, and if the system refuses to start so many.
  explicit Threads(int count = 1) {
    check_option(count >= 1, "threads: count >= 1", count);
    try {
      for (int worker = 1; worker < count; ++worker) others_.emplace_back([this, worker] { serve(worker); });
      if (count > 1) shares_ = std::vector<Share>(static_cast<std::size_t>(count));
    } catch (const std::exception& refusal) {
      const int started = this->count();
      stop();
      throw OptionError(
          concatenate("threads: expected to start ", count, ", stopped at ", started, ": ", refusal.what()));
    }
  }

  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  ~Threads() { stop(); }

  [[nodiscard]] int count() const { return static_cast<int>(others_.size()) + 1; }

  /// Calls body(piece, worker) once for every piece in 0, ..., pieces - 1, where 0 <= worker < count() tells concurrent
  /// calls apart. Returns when all are done. If bodies throw, one of the exceptions is thrown again here.
  template <class Body>
  void for_each(Index pieces, const Body& body) {
    do_pieces(pieces, {&body, [](const void* self, Index piece, int worker) {
                         (*static_cast<const Body*>(self))(piece, worker);
                       }});
  }

  /// Calls body(first, size, worker) for consecutive ranges of at most `step` that cover 0, ..., total - 1.
  template <class Body>
  void for_each_range(Index total, Index step, const Body& body) {
    for_each((total + step - 1) / step, [&](Index piece, int worker) {
      const Index first = piece * step;
      body(first, std::min(step, total - first), worker);
    });
  }

 private:
  /// A body of for_each without its type, so that all that follows is compiled once.
  struct Work {
    const void* body = nullptr;
    void (*call)(const void* body, Index piece, int worker) = nullptr;

    void operator()(Index piece, int worker) const { call(body, piece, worker); }
  };

  void do_pieces(Index pieces, const Work& work) {
    [[maybe_unused]] const OneOpenMpThread no_nested_threads;
    if (others_.empty() || pieces <= 1 || busy_.test_and_set(std::memory_order_acquire)) {
      for (Index piece = 0; piece < pieces; ++piece) work(piece, 0);
      return;
    }
    work_ = work;
    share_out(pieces);
    begin_round();
    take_pieces(0);
    end_round();
    const std::exception_ptr failure = std::exchange(failure_, nullptr);
    busy_.clear(std::memory_order_release);
    if (failure) std::rethrow_exception(failure);
  }

  /// Keeps Eigen from starting OpenMP threads inside our pieces, in programs built with OpenMP.
  class OneOpenMpThread {
#ifdef _OPENMP
   public:
    OneOpenMpThread() { omp_set_num_threads(1); }
    OneOpenMpThread(const OneOpenMpThread&) = delete;
    OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;
    ~OneOpenMpThread() { omp_set_num_threads(before_); }

   private:
    int before_ = omp_get_max_threads();
#endif
  };

  // How often to look before sleeping: pieces follow each other within microseconds during a forward pass.
  static constexpr int looks_before_sleep = 4096;

  void stop() {
    stopping_ = true;
    begin_round();
    for (std::thread& other : others_) other.join();
  }

  // A round is open while its pieces may be taken: `round_` is odd then. Others join an open round, and only who has
  // joined is waited for, so that a thread which the system gives no core to, as on a busy machine, holds nobody up. A
  // thread joins and then looks whether the round is open, and the round is closed before it is looked who has joined:
  // as all see these four in one order, either the thread finds the round closed or it is waited for.

  static bool is_open(unsigned round) { return round % 2 == 1; }

  void begin_round() {
    round_.fetch_add(1);
    round_.notify_all();
  }

  /// Returns when all that have joined have left.
  void end_round() {
    round_.fetch_add(1);
    for (int look = 0; look < looks_before_sleep && joined_.load() != 0; ++look) pause();
    while (const int left = joined_.load()) joined_.wait(left);
  }

  void serve(int worker) {
    [[maybe_unused]] const OneOpenMpThread no_nested_threads;
    for (unsigned done = 0;;) {
      await_round_after(done);
      joined_.fetch_add(1);
      done = round_.load();
      if (is_open(done)) take_pieces(worker);
      if (joined_.fetch_sub(1) == 1) joined_.notify_one();
      if (stopping_) return;  // not before: the round that it joins may be the one that stop() begins
    }
  }

  /// Returns when a round is open that is not `done`.
  void await_round_after(unsigned done) const {
    for (int look = 0;; ++look) {
      const unsigned round = round_.load();
      if (is_open(round) && round != done) return;
      if (look < looks_before_sleep)
        pause();
      else
        round_.wait(round);
    }
  }

  /// The pieces from `next` to before `end`, in a cache line of their own.
  struct alignas(64) Share {
    std::atomic<Index> next{0};
    Index end = 0;
  };

  void share_out(Index pieces) {
    const auto count = static_cast<Index>(shares_.size());
    for (Index i = 0; i < count; ++i) {
      Share& share = shares_[static_cast<std::size_t>(i)];
      share.next.store(pieces * i / count, std::memory_order_relaxed);
      share.end = pieces * (i + 1) / count;
    }
  }

  /// Its own share first, then what the others have left of theirs.
  void take_pieces(int worker) {
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      Share& share = shares_[(static_cast<std::size_t>(worker) + i) % shares_.size()];
      for (;;) {
        const Index piece = share.next.fetch_add(1, std::memory_order_relaxed);
        if (piece >= share.end) break;
        do_piece(piece, worker);
      }
    }
  }

  void do_piece(Index piece, int worker) {
    try {
      work_(piece, worker);
    } catch (...) {
      const std::lock_guard lock(failure_mutex_);
      failure_ = std::current_exception();
    }
  }

  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
  }

  std::vector<std::thread> others_;
  std::atomic_flag busy_;
  std::atomic<unsigned> round_{0};  // odd while pieces may be taken
  std::atomic<int> joined_{0};      // other threads that may be taking pieces
  std::atomic<bool> stopping_{false};
  std::vector<Share> shares_;  // of every worker, if there are others
  Work work_;
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
};

/// Calls body(first, count) on ranges of columns that cover all; for what acts on each token alone.
template <class Body>
void for_each_columns(Index cols, Threads& threads, const Body& body) {
  constexpr Index piece_cols = 32;
  threads.for_each_range(cols, piece_cols, [&](Index first, Index count, int) { body(first, count); });
}

}  // namespace crate
