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

// Processes that train one model together. The only one that knows how they speak to each other is training/mpi.hpp.

namespace crate {

/// The processes that train one model together, called ranks: 0, ..., size() - 1. All of them call the same functions
/// in the same order, each from one thread at a time. Every function throws Error where the others cannot be reached.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;

  /// A rank as errors name it, such as "rank 1 on node7".
  [[nodiscard]] virtual std::string name_of(int rank) const = 0;

  /// The bytes that every rank gives, in the order of the ranks. `what` says what they are: throws Error that names
  /// both if another rank is at something else.
  [[nodiscard]] virtual std::vector<std::string> gather(std::string_view what, std::string_view own) = 0;

  /// For so long a rank sleeps that has nothing to do but to look for messages: about as long as the system needs to
  /// wake a thread.
  static constexpr std::chrono::microseconds pause_between_looks{20};

  /// What one rank adds to a sum over all.
  struct Addend {
    std::function<bool(std::size_t piece)> is_complete;  ///< becomes true for one piece after another
    std::function<void(std::size_t piece)> add;  ///< adds it in place; on rank 0, where old numbers are, assigns
    std::function<void()> pause = [] {           ///< called when no message has come: sleeps a little
      std::this_thread::sleep_for(pause_between_looks);
    };
  };

  /// Makes the same of `pieces` on all ranks, an all-reduce in the order of the ranks: each goes from rank 0 to the
  /// last, where every rank adds its part, and the last one's is what all get. Called by one thread, while nobody else
  /// calls a function.
  virtual void add_in_order(std::span<const std::span<std::byte>> pieces, const Addend& addend) = 0;

  /// Called by the first rank where an error ends the training, but something is left to do, such as to write weights:
  /// others, which come to the same error, then do not end all before that is done. Throws nothing.
  virtual void ask_to_wait() = 0;

  /// Of ranks, the first writes files and prints.
  [[nodiscard]] bool is_first() const { return rank() == 0; }
};

/// One process alone.
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

/// Things that are dealt to ranks: each has consecutive ones, numbers of them differ by at most one, and rank 0 has one
/// if there is any.
struct RankShare {
  Index first, count;  ///< of the rank at hand

  RankShare(Index total, const Communicator& ranks)
      : first(first_of(total, ranks.rank(), ranks.size())),
        count(first_of(total, ranks.rank() + 1, ranks.size()) - first) {}

  /// The rank that has thing `i`.
  [[nodiscard]] static int owner(Index i, Index total, const Communicator& ranks) {
    return static_cast<int>(i * ranks.size() / total);
  }

 private:
  [[nodiscard]] static Index first_of(Index total, Index rank, Index size) { return (total * rank + size - 1) / size; }
};

/// Calls work(), in which no rank gathers. What it throws here is told to the other ranks: at what they gather next,
/// they throw Error that says it. Behind it all ranks must gather before anything else: one that adds in order would
/// wait for ever for one that failed.
template <class Work>
void do_or_tell(Communicator& ranks, const Work& work) {
  const auto tell = [&](std::string_view failure) {
    try {
      if (ranks.size() > 1) static_cast<void>(ranks.gather(concatenate("an error: ", failure), ""));
    } catch (const Error&) {}  // which says that the others are at something else
  };
  try {
    work();
  } catch (const std::exception& failure) {
    tell(failure.what());
    throw;
  } catch (...) {
    tell("what was thrown is no std::exception");
    throw;
  }
}

/// Fills in the blocks of memory that other ranks own: for_each_block(rank, visit) calls visit(bytes) for each block of
/// this rank, as many and as long ones on every rank. Throws as gather, and Error if a rank has fewer bytes.
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

/// Fills in `values` those that other ranks own, as owner(i) says. Throws as share_blocks, and Error if there are
/// several ranks and values cannot be copied byte by byte.
template <class Value, class Owner>
void share_values(Communicator& ranks, std::string_view what, std::vector<Value>& values, const Owner& owner) {
  if (ranks.size() == 1) return;
  if constexpr (!std::is_trivially_copyable_v<Value>) {
    throw Error(concatenate(what,
                            ": expected values that can be copied byte by byte, found others, which cannot go to ",
                            "another process"));
  } else {
    share_blocks(ranks, what, [&](int rank, const auto& visit) {
      for (std::size_t i = 0; i < values.size(); ++i)
        if (owner(static_cast<Index>(i)) == rank) visit(std::as_writable_bytes(std::span(&values[i], 1)));
    });
  }
}

/// Throws Error that names the first text that is not the same on all ranks, with what two of them have.
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
