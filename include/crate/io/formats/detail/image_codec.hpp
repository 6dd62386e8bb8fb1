// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <string_view>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/pixels.hpp"

// Common parts of the readers of PNG and JPEG.
//
// On failure, libpng and libjpeg leave through longjmp, which must not skip the destruction of C++
// objects. So the functions of the readers that call setjmp have no such objects: everything that owns
// memory is a member of the reader.

namespace crate::detail {

/// The first few hundred bytes of a message from a C library.
struct LibraryMessage {
  std::array<char, 256> text = {};
  void set(const char* message) { std::snprintf(text.data(), text.size(), "%s", message); }
};

/// The longest side of a picture, which is libpng's own limit: each row takes time, however short it is.
inline constexpr Index maximal_side = 1'000'000;

inline void check_image_size(std::string_view source, Index height, Index width) {
  if (height < 1 || width < 1 || height > maximal_pixels / width)
    throw file_error(source, "expected at most ", maximal_pixels, " pixels, found ", height, " x ", width);
  if (height > maximal_side || width > maximal_side)
    throw file_error(source, "expected sides of at most ", maximal_side, " pixels, found ", height, " x ", width);
}

/// Whether to read a file that claims so many pixels, if its coding allows it. A plain picture may be tiny,
/// such as a blank page scanned at 600 dots per inch (35 million pixels), but a huge picture without content is
/// not worth time and memory.
[[nodiscard]] inline bool is_worth_reading(Index height, Index width, std::size_t file_size) {
  constexpr std::size_t free_pixels = 40'000'000, pixels_per_byte = 128;
  const auto pixels = static_cast<std::size_t>(height * width);
  return pixels <= free_pixels || (pixels - free_pixels) / pixels_per_byte < file_size;
}

/// The error for a file that is too small for the pixels that it claims.
[[nodiscard]] inline FileError pixels_missing(std::string_view source, Index height, Index width,
                                              std::size_t file_size) {
  return file_error(source, "the file ends early: expected the pixels of ", height, " x ", width,
                    ", found a file of only ", file_size, " bytes");
}

}  // namespace crate::detail
