// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/io/formats/detail/crc32.hpp"
#include "plots/drawing.hpp"

// Pictures of few colours as PNG, to be embedded in SVG.

namespace plots {

/// A picture whose pixels are indices of colours.
struct IndexedPicture {
  crate::Index height, width;
  std::vector<std::uint8_t> pixels;  ///< row by row
  std::vector<Colour> colours;       ///< at most 256
};

namespace detail {

/// The least significant `bytes` bytes, the most significant of them first.
inline void append_number(std::string& out, std::uint32_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out += static_cast<char>(value >> static_cast<unsigned>(shift) & 0xFFU);
}

inline void append_chunk(std::string& png, const std::string& type, const std::string& data) {
  append_number(png, static_cast<std::uint32_t>(data.size()), 4);
  const std::string checked = type + data;
  png += checked;
  append_number(png, crate::detail::crc32(std::as_bytes(std::span(checked))), 4);
}

/// The checksum of zlib streams: two sums modulo 65521 (RFC 1950).
[[nodiscard]] inline std::uint32_t adler32(std::string_view data) {
  std::uint32_t sum = 1, sum_of_sums = 0;
  for (const char c : data) {
    sum = (sum + static_cast<unsigned char>(c)) % 65521;
    sum_of_sums = (sum_of_sums + sum) % 65521;
  }
  return sum_of_sums << 16U | sum;
}

/// A zlib stream whose blocks are stored as they are.
[[nodiscard]] inline std::string stored_stream(std::string_view data) {
  std::string stream = "\x78\x01";
  constexpr std::size_t most = 65535;
  for (std::size_t begin = 0; begin == 0 || begin < data.size(); begin += most) {
    const std::string_view block = data.substr(begin, most);
    const auto size = static_cast<std::uint32_t>(block.size());
    stream += begin + most >= data.size() ? '\1' : '\0';
    for (const std::uint32_t word : {size, ~size}) {  // these have the least significant byte first
      append_number(stream, word & 0xFFU, 1);
      append_number(stream, word >> 8U & 0xFFU, 1);
    }
    stream += block;
  }
  append_number(stream, adler32(data), 4);
  return stream;
}

}  // namespace detail

/// The bytes of a PNG file.
[[nodiscard]] inline std::string png_of(const IndexedPicture& picture) {
  std::string header, palette, rows;
  detail::append_number(header, static_cast<std::uint32_t>(picture.width), 4);
  detail::append_number(header, static_cast<std::uint32_t>(picture.height), 4);
  for (const std::uint32_t byte : {8U, 3U, 0U, 0U, 0U}) detail::append_number(header, byte, 1);  // 8 bits, indexed
  for (const Colour& colour : picture.colours)
    for (const std::uint8_t channel : colour) palette += static_cast<char>(channel);
  for (crate::Index y = 0; y < picture.height; ++y) {
    rows += '\0';  // not filtered
    for (crate::Index x = 0; x < picture.width; ++x)
      rows += static_cast<char>(picture.pixels[static_cast<std::size_t>(y * picture.width + x)]);
  }
  std::string png = "\x89PNG\r\n\x1A\n";
  detail::append_chunk(png, "IHDR", header);
  detail::append_chunk(png, "PLTE", palette);
  detail::append_chunk(png, "IDAT", detail::stored_stream(rows));
  detail::append_chunk(png, "IEND", "");
  return png;
}

/// RFC 4648.
[[nodiscard]] inline std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8U | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) text += i + k <= bytes.size() ? digits[group >> (18 - 6 * k) & 63U] : '=';
  }
  return text;
}

}  // namespace plots
