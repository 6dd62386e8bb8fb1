// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <numeric>
#include <type_traits>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/pages.hpp"

namespace crate {

/// Memory for temporaries, owned by the caller and used again from call to call: after the first call of a given size
/// nothing is allocated. Not for use by several threads at once; give each caller its own.
class Workspace {
 public:
  static constexpr std::size_t alignment = 64;

  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  Workspace(Workspace&&) = default;
  Workspace& operator=(Workspace&&) = default;

  /// How many bytes are held.
  [[nodiscard]] std::size_t capacity() const {
    return std::accumulate(chunks_.begin(), chunks_.end(), std::size_t{0},
                           [](std::size_t sum, const Chunk& chunk) { return sum + chunk.size(); });
  }

  /// The bytes that an array of so many numbers takes.
  template <class T>
  [[nodiscard]] static constexpr std::size_t room(Index size) {
    return (static_cast<std::size_t>(size) * sizeof(T) + alignment - 1) / alignment * alignment;
  }

  /// Holds at least so many bytes from now on. Throws Error while a frame is open.
  void reserve(std::size_t bytes) {
    if (chunk_ != 0 || used_ != 0) throw Error("workspace: expected no open frame when memory is reserved, found one");
    if (bytes <= capacity()) return;
    chunks_.clear();
    chunks_.emplace_back((bytes + alignment - 1) / alignment);
  }

  /// What is taken through a frame is given back when the frame ends. Frames nest like scopes.
  class Frame {
   public:
    explicit Frame(Workspace& workspace) : workspace_(workspace), chunk_(workspace.chunk_), used_(workspace.used_) {}
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    ~Frame() {
      workspace_.release(chunk_, used_);
      workspace_.join_unused();
    }

    [[nodiscard]] Workspace& workspace() const { return workspace_; }

    /// Gives back all that was taken through it, in the pieces that it was taken in: it fits into them again.
    void clear() { workspace_.release(chunk_, used_); }

    /// An uninitialised rows x cols matrix, aligned to 64 bytes.
    template <Scalar S>
    [[nodiscard]] Eigen::Map<Matrix<S>, Eigen::AlignedMax> matrix(Index rows, Index cols) {
      return {array<S>(rows * cols), rows, cols};
    }

    /// Uninitialised room for so many numbers, aligned to 64 bytes.
    template <class T>
    requires std::is_trivially_copyable_v<T>
    [[nodiscard]] T* array(Index size) {
      return static_cast<T*>(workspace_.take(static_cast<std::size_t>(size) * sizeof(T)));
    }

   private:
    Workspace& workspace_;
    std::size_t chunk_, used_;
  };

 private:
  struct alignas(alignment) Line {
    std::array<std::byte, alignment> bytes;
  };
  class Chunk {
   public:
    explicit Chunk(std::size_t lines) : lines_(std::make_unique_for_overwrite<Line[]>(lines)), count_(lines) {
      ask_for_huge_pages(lines_.get(), size());
    }
    [[nodiscard]] std::size_t size() const { return count_ * alignment; }
    [[nodiscard]] std::byte* at(std::size_t offset) { return lines_[offset / alignment].bytes.data(); }

   private:
    std::unique_ptr<Line[]> lines_;  // not filled: what is never used costs no page of memory
    std::size_t count_;
  };

  [[nodiscard]] void* take(std::size_t bytes) {
    const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
    if (size == 0) return nullptr;
    while (chunk_ < chunks_.size() && used_ + size > chunks_[chunk_].size()) {
      ++chunk_;
      used_ = 0;
    }
    if (chunk_ == chunks_.size()) chunks_.emplace_back(std::max(size, capacity()) / alignment);
    void* const start = chunks_[chunk_].at(used_);
    used_ += size;
    return start;
  }

  void release(std::size_t chunk, std::size_t used) {
    chunk_ = chunk;
    used_ = used;
  }

  /// If no frame holds anything, one piece as large as all, so that next time it fits in any order. Called by
  /// destructors: does not throw.
  void join_unused() noexcept {
    if (chunk_ != 0 || used_ != 0 || chunks_.size() <= 1) return;
    const std::size_t lines = capacity() / alignment;
    chunks_.clear();
    try {
      chunks_.emplace_back(lines);
    } catch (const std::bad_alloc&) {
      chunks_.clear();  // the next call asks again, and reports it if memory has run out
    }
  }

  std::vector<Chunk> chunks_;
  std::size_t chunk_ = 0;  // the chunk in use; those before it are full
  std::size_t used_ = 0;   // bytes used of it
};

}  // namespace crate
