// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstring>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

// Processes that train one model together. How they communicate is known to training/mpi.hpp only.

namespace crate {

/// The processes that train one model together, called ranks: 0, ..., size() - 1. All of them call the same functions
/// in the same order, each from one thread at a time. Every function throws Error if another rank cannot be reached.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  /// The name of a rank in error messages, such as "rank 1 on node7".
  [[nodiscard]] virtual std::string name_of(int rank) const = 0;

  /// Returns the bytes that each rank passes as `own`, in the order of the ranks. `what` names them; if another rank
  /// gathers something else, throws Error that gives both names.
  [[nodiscard]] virtual std::vector<std::string> gather(std::string_view what, std::string_view own) = 0;

  /// How long a rank that only waits for messages sleeps between two looks: about the time that the system needs to
  /// wake a thread.
  static constexpr std::chrono::microseconds pause_between_looks{20};

  /// How one rank takes part in a sum over all ranks.
  struct Addend {
    std::function<bool(std::size_t piece)> is_complete;  ///< becomes true for one piece after another, in order
    std::function<void(std::size_t piece)> add;  ///< adds this rank's part in place; on rank 0, where the memory holds
                                                 ///< old numbers, assigns it
    std::function<void()> pause = [] {           ///< called when no message has arrived: sleeps briefly
      std::this_thread::sleep_for(pause_between_looks);
    };
  };

  /// Sums `pieces` over all ranks in the order of the ranks, and gives every rank the result (an all-reduce): each
  /// piece goes from rank 0 to the last rank, and every rank adds its part. Called by one thread, while no other thread
  /// calls a function of this.
  virtual void add_in_order(std::span<const std::span<std::byte>> pieces, const Addend& addend) = 0;

  /// The first rank calls this after an error if it still has work to do, such as writing weights. Other ranks, which
  /// meet the same error, then wait before they end all processes. Throws nothing.
  virtual void ask_to_wait() = 0;

  /// Only the first rank writes files and prints.
  [[nodiscard]] bool is_first() const { return rank() == 0; }
};

/// A single process.
class SingleProcess final : public Communicator {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] std::string name_of(int) const override { return "rank 0"; }
  [[nodiscard]] std::vector<std::string> gather(std::string_view, std::string_view own) override {
    return {std::string(own)};
  }
  void add_in_order(std::span<const std::span<std::byte>> pieces, const Addend& addend) override {
    for (std::size_t piece = 0; piece < pieces.size(); ++piece) {
      while (!addend.is_complete(piece)) addend.pause();
      addend.add(piece);
    }
  }
  void ask_to_wait() override {}
};

[[nodiscard]] inline Communicator& single_process() {
  static SingleProcess process;
  return process;
}

/// Divides `total` things among ranks: each rank gets consecutive ones, the counts differ by at most one, and rank 0
/// has one if any rank has.
struct RankShare {
  Index first, count;  ///< of the calling rank

  RankShare(Index total, const Communicator& ranks)
      : first(first_of(total, ranks.rank(), ranks.size())),
        count(first_of(total, ranks.rank() + 1, ranks.size()) - first) {}

  /// The rank to which thing `i` belongs.
  [[nodiscard]] static int owner(Index i, Index total, const Communicator& ranks) {
    return static_cast<int>(i * ranks.size() / total);
  }

 private:
  [[nodiscard]] static Index first_of(Index total, Index rank, Index size) { return (total * rank + size - 1) / size; }
};

/// Calls work(), in which no rank may gather. Reports an exception to the other ranks, whose next gather throws Error
/// with its text. After this call all ranks must gather before anything else: a rank in add_in_order would wait forever
/// for one that failed.
template <class Work>
void run_and_report_errors(Communicator& ranks, const Work& work) {
  const auto report = [&](std::string_view failure) {
    try {
      if (ranks.size() > 1) static_cast<void>(ranks.gather(concatenate("an error: ", failure), ""));
    } catch (const Error&) {}  // reports only that the other ranks are at another call
  };
  try {
    work();
  } catch (const std::exception& failure) {
    report(failure.what());
    throw;
  } catch (...) {
    report("the thrown object is not a std::exception");
    throw;
  }
}

/// Fills in the blocks of memory that other ranks own: for_each_block(rank, visit) calls visit(bytes) for each block of
/// a rank; all ranks must agree on number and lengths. Throws as gather, and Error if a rank sent too few bytes.
template <class ForEachBlock>
void share_blocks(Communicator& ranks, std::string_view what, const ForEachBlock& for_each_block) {
  if (ranks.size() == 1) return;
  std::string own;
  for_each_block(ranks.rank(), [&](std::span<const std::byte> block) {
    own.append(reinterpret_cast<const char*>(block.data()), block.size());
  });
  const std::vector<std::string> all = ranks.gather(what, own);
  for (int rank = 0; rank < ranks.size(); ++rank) {
    std::string_view rest = all[static_cast<std::size_t>(rank)];
    for_each_block(rank, [&](std::span<std::byte> block) {
      if (rest.size() < block.size())
        throw Error(concatenate(what, ": expected more of ", ranks.name_of(rank), ", found ",
                                all[static_cast<std::size_t>(rank)].size(), " bytes"));
      std::memcpy(block.data(), rest.data(), block.size());
      rest.remove_prefix(block.size());
    });
  }
}

/// Fills in the `values` that other ranks own; owner(i) is the rank that owns value i. Throws as share_blocks, and
/// Error if there are several ranks and the values cannot be copied byte by byte.
template <class Value, class Owner>
void share_values(Communicator& ranks, std::string_view what, std::vector<Value>& values, const Owner& owner) {
  if (ranks.size() == 1) return;
  if constexpr (!std::is_trivially_copyable_v<Value>) {
    throw Error(concatenate(what,
                            ": expected values of a trivially copyable type, found another type, which cannot go to ",
                            "another process"));
  } else {
    share_blocks(ranks, what, [&](int rank, const auto& visit) {
      for (std::size_t i = 0; i < values.size(); ++i)
        if (owner(static_cast<Index>(i)) == rank) visit(std::as_writable_bytes(std::span(&values[i], 1)));
    });
  }
}

/// Throws Error that names the first text that differs between ranks, and quotes both versions.
inline void check_agreement(Communicator& ranks, std::string_view what,
                            const std::vector<std::pair<std::string, std::string>>& texts) {
  std::string own;
  for (const auto& [name, text] : texts) own.append(name).append(": ").append(text).push_back('\0');
  const auto first_line = [](std::string_view lines) { return lines.substr(0, lines.find('\0')); };
  const std::vector<std::string> all = ranks.gather(what, own);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    std::string_view one = all[0], other = all[rank];
    while (!one.empty() && !other.empty() && first_line(one) == first_line(other)) {
      one.remove_prefix(one.find('\0') + 1);
      other.remove_prefix(other.find('\0') + 1);
    }
    if (!one.empty() || !other.empty())
      throw Error(concatenate("ranks must agree in ", what, ": ", ranks.name_of(0), " has '", first_line(one), "', ",
                              ranks.name_of(static_cast<int>(rank)), " has '", first_line(other), "'"));
  }
}

}  // namespace crate
