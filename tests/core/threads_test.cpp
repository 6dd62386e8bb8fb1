// SPDX-License-Identifier: MIT
#include "crate/core/threads.hpp"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"

using crate::Index;
using crate::Threads;

namespace {

/// How often each piece was worked on.
std::vector<int> visits(Threads& threads, Index pieces) {
  std::vector<std::atomic<int>> counters(static_cast<std::size_t>(pieces));
  threads.for_each(pieces, [&](Index piece, int) { ++counters.at(static_cast<std::size_t>(piece)); });
  return {counters.begin(), counters.end()};
}

std::vector<int> once(Index pieces) { return std::vector<int>(static_cast<std::size_t>(pieces), 1); }

}  // namespace

TEST_CASE("every piece is worked on exactly once, by any number of threads") {
  for (const int count : {1, 2, 3, 5}) {
    Threads threads(count);
    CHECK(threads.count() == count);
    for (const Index pieces : {0, 1, 2, 3, 7, 1000}) CHECK(visits(threads, pieces) == once(pieces));
  }
}

TEST_CASE("a team works again after it has slept") {
  Threads threads(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    CHECK(visits(threads, 10) == once(10));
  }
}

TEST_CASE("a team goes through many short rounds") {
  Threads threads(3);
  std::atomic<int> pieces_done{0};
  constexpr int rounds = 2000;
  for (int round = 0; round < rounds; ++round) threads.for_each(4, [&](Index, int) { ++pieces_done; });
  CHECK(pieces_done == 4 * rounds);
}

TEST_CASE("teams end whatever their threads are at") {
  Threads threads(2);
  std::atomic<int> pieces_done{0};
  constexpr int teams = 2000;
  threads.for_each(teams, [&](Index, int) { Threads(2).for_each(5, [&](Index, int) { ++pieces_done; }); });
  CHECK(pieces_done == 5 * teams);
}

TEST_CASE("concurrent pieces have different workers, below the count") {
  Threads threads(3);
  std::vector<std::atomic<int>> at_work(3);
  std::atomic<bool> shared{false};
  threads.for_each(200, [&](Index, int worker) {
    auto& mine = at_work.at(static_cast<std::size_t>(worker));
    if (++mine != 1) shared = true;
    std::this_thread::yield();
    --mine;
  });
  CHECK_FALSE(shared);
}

TEST_CASE("ranges cover the total without overlap and keep to the step") {
  Threads threads(2);
  for (const Index total : {0, 1, 4, 5, 13}) {
    std::vector<std::atomic<int>> counters(static_cast<std::size_t>(total));
    threads.for_each_range(total, 4, [&](Index first, Index size, int) {
      if (size < 1 || size > 4) throw std::logic_error("size " + std::to_string(size));
      for (Index i = first; i < first + size; ++i) ++counters.at(static_cast<std::size_t>(i));
    });
    CHECK(std::vector<int>(counters.begin(), counters.end()) == once(total));
  }
}

TEST_CASE("an exception in a piece reaches the caller, and the team works on") {
  for (const int count : {1, 3}) {
    Threads threads(count);
    for (Index culprit = 0; culprit < 8; ++culprit) {
      const auto fail_at_culprit = [&](Index piece, int) {
        if (piece == culprit) throw crate::FileError("piece " + std::to_string(piece));
      };
      CHECK_THROWS_WITH(threads.for_each(8, fail_at_culprit), "piece " + std::to_string(culprit));
      CHECK(visits(threads, 8) == once(8));
    }
  }
}

TEST_CASE("if all pieces throw, one of the exceptions arrives") {
  Threads threads(3);
  CHECK_THROWS_AS(threads.for_each(50, [](Index, int) { throw crate::FileError("all fail"); }), crate::FileError);
  CHECK(visits(threads, 50) == once(50));
}

TEST_CASE("a piece may use its own team again") {
  Threads threads(3);
  std::atomic<int> inner_pieces{0};
  threads.for_each(6, [&](Index, int) { threads.for_each(5, [&](Index, int) { ++inner_pieces; }); });
  CHECK(inner_pieces == 30);
}

TEST_CASE("a piece may make a team of its own") {
  Threads threads(2);
  std::atomic<int> inner_pieces{0};
  threads.for_each(4, [&](Index, int) {
    Threads inner(2);
    inner.for_each(5, [&](Index, int) { ++inner_pieces; });
  });
  CHECK(inner_pieces == 20);
}

TEST_CASE("several threads may use one team at once") {
  Threads threads(3);
  std::atomic<int> pieces_done{0};
  const auto use_the_team = [&] {
    for (int round = 0; round < 300; ++round) threads.for_each(7, [&](Index, int) { ++pieces_done; });
  };
  std::thread other(use_the_team);
  use_the_team();
  other.join();
  CHECK(pieces_done == 2 * 300 * 7);
}

TEST_CASE("a team of fewer than one thread is refused") {
  CHECK_THROWS_AS(Threads(0), crate::OptionError);
  CHECK_THROWS_WITH(Threads(-3), "threads: expected count >= 1, found -3");
}

#ifdef __GLIBC__
TEST_CASE("a team larger than the system allows is refused") {
  pthread_attr_t before, huge_stack;
  REQUIRE(pthread_getattr_default_np(&before) == 0);
  REQUIRE(pthread_getattr_default_np(&huge_stack) == 0);
  REQUIRE(pthread_attr_setstacksize(&huge_stack, std::size_t{1} << 48) == 0);
  REQUIRE(pthread_setattr_default_np(&huge_stack) == 0);
  CHECK_THROWS_AS(Threads(3), crate::OptionError);
  CHECK_THROWS_WITH(Threads(3), Catch::Matchers::ContainsSubstring("threads: expected to start 3, stopped at 1"));
  REQUIRE(pthread_setattr_default_np(&before) == 0);
  CHECK(Threads(3).count() == 3);
}
#endif
