// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "crate/io/formats/file_error.hpp"

static_assert(std::endian::native == std::endian::little,
              "the files read here are little-endian, and so must the machine be");

namespace crate::detail {

/// Reads a range of bytes sequentially, never past its end. `part` is its name in messages.
class ByteCursor {
 public:
  ByteCursor(std::span<const std::byte> bytes, std::string_view source, std::string_view part)
      : bytes_(bytes), source_(source), part_(part) {}

  [[nodiscard]] std::size_t position() const { return position_; }
  [[nodiscard]] std::size_t left() const { return bytes_.size() - position_; }

  /// The next bytes. Throws FileError if fewer are left.
  std::span<const std::byte> take_bytes(std::uint64_t count) {
    if (count > left()) throw error("expected ", count, " more bytes, found ", left());
    const std::span<const std::byte> taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += taken.size();
    return taken;
  }

  std::string_view take_text(std::uint64_t size) {
    const std::span<const std::byte> taken = take_bytes(size);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

  /// The next little-endian number.
  template <class Number>
  Number take() {
    Number number;
    std::memcpy(&number, take_bytes(sizeof number).data(), sizeof number);
    return number;
  }

  /// The text up to the next end of line, which is skipped.
  std::string_view take_line() {
    const auto rest = bytes_.subspan(position_);
    const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
    const std::string_view line = take_text(static_cast<std::size_t>(end - rest.begin()));
    take<char>();
    return line;
  }

  /// "file 'a.pth': data.pkl: byte 17: ..."
  template <class... Parts>
  [[nodiscard]] FileError error(const Parts&... parts) const {
    return file_error(source_, part_, ": byte ", position_, ": ", parts...);
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view source_;
  std::string_view part_;
  std::size_t position_ = 0;
};

}  // namespace crate::detail
