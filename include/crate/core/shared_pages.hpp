// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "crate/core/pages.hpp"

namespace crate::detail {

/// Memory that is cut from blocks of whole pages of 2 MiB, piece by piece: so matrices of less than a few pages lie in
/// such pages too. A block is freed with the last of its pieces: a piece that is kept keeps all of its block, 32 MiB.
/// Pieces that would gain little, or that fill blocks of their own, are allocated one by one; under AddressSanitizer
/// all are, so that it sees what is read beyond one. Safe to use from several threads at once.
class SharedPages {
 public:
  /// So many bytes, uninitialised, that begin on a cache line; of 0 bytes an empty pointer.
  [[nodiscard]] std::shared_ptr<std::byte> take(std::size_t bytes) {
    if (bytes == 0) return {};
    if (bytes < smallest_piece || are_apart) return allocate<line>(bytes);
    if (bytes > block_bytes) return allocate_pages((bytes + page - 1) / page * page);
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
  static constexpr std::size_t line = 64;
  static constexpr std::size_t page = std::size_t{1} << 21U;
  /// glibc's malloc maps what is as large one by one, so that freeing a block returns it to the system.
  static constexpr std::size_t block_bytes = 16 * page;
  /// 16 pages of 4 KiB are few enough for a processor's table of pages, and a model of such matrices, or one that is
  /// kept of a large model, is not worth a block.
  static constexpr std::size_t smallest_piece = std::size_t{1} << 16U;

#if defined(__SANITIZE_ADDRESS__)
  static constexpr bool are_apart = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
  static constexpr bool are_apart = true;
#else
  static constexpr bool are_apart = false;
#endif
#else
  static constexpr bool are_apart = false;
#endif

  template <std::size_t alignment>
  [[nodiscard]] static std::shared_ptr<std::byte> allocate(std::size_t bytes) {
    constexpr std::align_val_t align{alignment};
    return {static_cast<std::byte*>(::operator new(bytes, align)),
            [](std::byte* begin) { ::operator delete (begin, std::align_val_t{alignment}); }};
  }

  [[nodiscard]] static std::shared_ptr<std::byte> allocate_pages(std::size_t bytes) {
    std::shared_ptr<std::byte> begin = allocate<page>(bytes);
    ask_for_huge_pages(begin.get(), bytes);
    return begin;
  }

  /// A block with a piece of `size` bytes taken. Of it and the one before, that with more left serves the next.
  [[nodiscard]] std::shared_ptr<std::byte> begin_block(std::size_t size) {
    std::shared_ptr<std::byte> block = allocate_pages(block_bytes);
    if (block_.expired() || block_bytes - size > left_) {
      block_ = block;
      next_ = block.get() + size;
      left_ = block_bytes - size;
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
