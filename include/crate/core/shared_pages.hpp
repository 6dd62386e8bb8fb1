// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "crate/core/pages.hpp"

namespace crate::detail {

/// Memory that is cut from blocks of whole pages of 2 MiB, piece by piece: so small matrices lie in such pages too, and
/// what is taken in turn lies in turn. A block is freed with the last of its pieces. Safe to use from several threads
/// at once.
class SharedPages {
 public:
  /// So many bytes, uninitialised, that begin on a cache line.
  [[nodiscard]] std::shared_ptr<std::byte> take(std::size_t bytes) {
    constexpr std::size_t line = 64;
    const std::size_t size = (bytes + line - 1) / line * line;
    const std::lock_guard lock(mutex_);
    std::shared_ptr<std::byte> block = block_.lock();
    if (block == nullptr || size > left_) return begin_block(size);
    std::byte* const piece = next_;
    next_ += size;
    left_ -= size;
    return {std::move(block), piece};
  }

 private:
  static constexpr std::size_t page = std::size_t{1} << 21U;
  static constexpr std::size_t smallest_block = 16 * page;  // malloc maps such and unmaps them, one by one

  struct Free {
    void operator()(std::byte* block) const { ::operator delete (block, std::align_val_t{page}); }
  };

  /// A block with a piece of `size` bytes taken. Of it and the one before, that with more left serves the next.
  [[nodiscard]] std::shared_ptr<std::byte> begin_block(std::size_t size) {
    const std::size_t whole = std::max(smallest_block, (size + page - 1) / page * page);
    std::shared_ptr<std::byte> block(static_cast<std::byte*>(::operator new (whole, std::align_val_t{page})), Free());
    ask_for_huge_pages(block.get(), whole);
    if (block_.expired() || whole - size > left_) {
      block_ = block;
      next_ = block.get() + size;
      left_ = whole - size;
    }
    return block;
  }

  std::mutex mutex_;
  std::weak_ptr<std::byte> block_;  // the one that serves, while any of its pieces is in use
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
};

/// Those of all weights that are arranged for the processor.
[[nodiscard]] inline SharedPages& pages_of_weights() {
  static SharedPages pages;
  return pages;
}

}  // namespace crate::detail
