// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "crate/core/matrix.hpp"
#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/pixels.hpp"

// The orientation of a picture: cameras store pixels in the sensor's orientation, and record the rotation as EXIF data.
// Nothing here throws or reads past an end: a malformed block leaves the picture as it is.

namespace crate::detail {

/// The unsigned number in `size` (up to 4) bytes from `offset`; 0 if the bytes end before.
[[nodiscard]] inline std::uint32_t number_at(std::span<const std::byte> bytes, std::uint64_t offset, std::size_t size,
                                             bool big_endian) {
  if (offset > bytes.size() || size > bytes.size() - offset) return 0;
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t place = static_cast<std::size_t>(offset) + (big_endian ? i : size - 1 - i);
    number = number << 8U | std::to_integer<std::uint32_t>(bytes[place]);
  }
  return number;
}

/// The orientation, 1 to 8, in the first directory of a block of EXIF data; 1, "as stored", if there is none.
[[nodiscard]] inline int exif_orientation(std::span<const std::byte> exif) {
  using namespace std::string_view_literals;
  constexpr std::uint32_t orientation = 0x0112, short_type = 3, long_type = 4;
  constexpr std::uint64_t entry_size = 12;
  if (!begins_with(exif, "II*\0"sv) && !begins_with(exif, "MM\0*"sv)) return 1;
  const bool big_endian = exif[0] == std::byte{'M'};
  const auto number = [&](std::uint64_t offset, std::size_t size) { return number_at(exif, offset, size, big_endian); };

  const std::uint64_t directory = number(4, 4);
  const std::uint32_t entries = number(directory, 2);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::uint64_t entry = directory + 2 + i * entry_size;
    if (number(entry, 2) != orientation) continue;
    const std::uint32_t type = number(entry + 2, 2), count = number(entry + 4, 4);
    if (count != 1 || (type != short_type && type != long_type)) return 1;
    const std::uint32_t value = number(entry + 8, type == short_type ? 2 : 4);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

/// The EXIF data of a JPEG file: the first APP1 segment with such data before the pixels; empty if there is none.
[[nodiscard]] inline std::span<const std::byte> exif_of_jpeg(std::span<const std::byte> file) {
  using namespace std::string_view_literals;
  constexpr std::byte escape{0xFF}, nothing{0x00}, app1{0xE1}, start_of_scan{0xDA}, end_of_image{0xD9};
  const auto has_content = [](std::byte marker) {
    return marker != std::byte{0x01} && (marker < std::byte{0xD0} || marker > std::byte{0xD8});
  };
  for (std::size_t at = 2; at + 4 <= file.size();) {
    const std::byte marker = file[at + 1];
    if (file[at] != escape || marker == escape || marker == nothing) {  // fill bytes, or garbage between segments
      ++at;
      continue;
    }
    if (marker == start_of_scan || marker == end_of_image) break;
    at += 2;
    if (!has_content(marker)) continue;
    const std::size_t size = number_at(file, at, 2, true);  // including the two bytes of the size itself
    if (size < 2 || size > file.size() - at) break;
    const auto content = file.subspan(at + 2, size - 2);
    if (marker == app1 && begins_with(content, "Exif\0\0"sv)) return content.subspan(6);
    at += size;
  }
  return {};
}

/// The EXIF data of a PNG file: the content of its first eXIf chunk; empty if there is none.
[[nodiscard]] inline std::span<const std::byte> exif_of_png(std::span<const std::byte> file) {
  constexpr std::size_t signature = 8, size_and_name = 8, checksum = 4;
  for (std::size_t at = signature; at + size_and_name + checksum <= file.size();) {
    const std::size_t size = number_at(file, at, 4, true);
    if (size > file.size() - at - size_and_name - checksum) break;
    if (begins_with(file.subspan(at + 4), "eXIf")) return file.subspan(at + size_and_name, size);
    at += size_and_name + size + checksum;
  }
  return {};
}

/// Rotates a picture stored in this orientation to upright: 1 unchanged, 3 by 180 degrees, 6 by 90 clockwise, 8 by 90
/// counter-clockwise; 2, 4, 7 and 5 are the mirror images of 1, 3, 6 and 8.
[[nodiscard]] inline Image upright(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const Index height = image.height, width = image.width;
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool from_the_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const Index first = (from_below ? (height - 1) * width : 0) + (from_the_right ? width - 1 : 0);
  const Index down = from_below ? -width : width, across = from_the_right ? -1 : 1;
  if (orientation <= 4) return rearranged(image, height, width, first, down, across);
  return rearranged(image, width, height, first, across, down);
}

}  // namespace crate::detail
