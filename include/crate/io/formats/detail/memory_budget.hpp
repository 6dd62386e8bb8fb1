// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "crate/io/formats/file_error.hpp"

namespace crate::detail {

/// A limit on the heap memory for reading one file: a small multiple of the file's size, whatever the file claims. Must
/// be asked before memory is allocated.
class MemoryBudget {
 public:
  MemoryBudget(std::string source, std::size_t file_size)
      : source_(std::move(source)), limit_(4 * file_size + (std::size_t{2} << 20U)), left_(limit_) {}

  /// Throws FileError if less than that is left.
  void take(std::size_t bytes) {
    if (bytes > left_) exhaust();
    left_ -= bytes;
  }

  /// Throws FileError.
  [[noreturn]] void exhaust() const {
    throw file_error(source_, "expected to need at most ", limit_,
                     " bytes of memory to be read, found that it needs more");
  }

 private:
  std::string source_;
  std::size_t limit_;
  std::size_t left_;
};

}  // namespace crate::detail
