// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <string_view>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/pixels.hpp"

// What the readers of PNG and JPEG share.
//
// libpng and libjpeg leave through longjmp when they fail, which must not pass over C++ objects that need destruction.
// So each function of the readers that calls setjmp has none of its own: everything that owns memory lives in the
// reader.

namespace crate::detail {

/// The first few hundred bytes of what a C library has to say.
struct LibraryMessage {
  std::array<char, 256> text = {};
  void set(const char* message) { std::snprintf(text.data(), text.size(), "%s", message); }
};

/// The longest side of a picture: libpng's own limit. Each row costs time, however short.
inline constexpr Index maximal_side = 1'000'000;

inline void check_image_size(std::string_view source, Index height, Index width) {
  if (height < 1 || width < 1 || height > maximal_pixels / width)
    throw file_error(source, "expected at most ", maximal_pixels, " pixels, found ", height, " x ", width);
  if (height > maximal_side || width > maximal_side)
    throw file_error(source, "expected sides of at most ", maximal_side, " pixels, found ", height, " x ", width);
}

/// Whether a file may claim so many pixels although its coding allows it: a plain picture takes next to nothing, as a
/// blank page scanned at 600 dots per inch does (35 million pixels), but what is both huge and empty is not worth
/// time and memory.
[[nodiscard]] inline bool is_worth_reading(Index height, Index width, std::size_t file_size) {
  constexpr std::size_t free_pixels = 40'000'000, pixels_per_byte = 128;
  const auto pixels = static_cast<std::size_t>(height * width);
  return pixels <= free_pixels || (pixels - free_pixels) / pixels_per_byte < file_size;
}

/// The error of a file that is too small for the pixels it claims.
[[nodiscard]] inline FileError pixels_missing(std::string_view source, Index height, Index width,
                                              std::size_t file_size) {
  return file_error(source, "the file ends early: expected the pixels of ", height, " x ", width,
                    ", found a file of only ", file_size, " bytes");
}

}  // namespace crate::detail
