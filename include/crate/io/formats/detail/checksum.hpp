// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crate/io/formats/detail/crc32.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

// A safetensors file that holds a checksum of itself, as the first of its texts: the CRC-32 of the whole file, in which
// the checksum itself is taken to be "00000000".

namespace crate::detail {

inline constexpr std::string_view checksum_key = "checkpoint checksum";
inline constexpr std::string_view checkpoint_format_key = "checkpoint format";  // of files that have a checksum
inline constexpr std::string_view no_checksum = "00000000";

/// What stands between the length of the header and the checksum.
inline constexpr std::string_view before_checksum = R"({"__metadata__":{"checkpoint checksum":")";
inline constexpr std::size_t checksum_begin = sizeof(std::uint64_t) + before_checksum.size();

[[nodiscard]] inline std::string checksum_text(std::uint32_t checksum) {
  std::array<char, 8> digits{};
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), checksum, 16).ptr;
  const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
  return std::string(no_checksum.substr(text.size())) + std::string(text);
}

/// Puts the checksum in the place that a frame with `no_checksum` has for it.
inline void insert_checksum(std::string& frame, const std::vector<const Tensor*>& tensors) {
  std::uint32_t checksum = crc32(std::as_bytes(std::span(frame)));
  for (const Tensor* const tensor : tensors) checksum = crc32(tensor->bytes, checksum);
  frame.replace(checksum_begin, no_checksum.size(), checksum_text(checksum));
}

/// The texts of a file, for one that has no checksum.
[[nodiscard]] inline Metadata without_checksum(Metadata metadata) {
  std::erase_if(metadata,
                [](const auto& entry) { return entry.first == checksum_key || entry.first == checkpoint_format_key; });
  return metadata;
}

/// Throws FileError if the metadata holds a checksum that is not the one of these bytes.
inline void check_checksum(std::span<const std::byte> bytes, const Metadata& metadata, std::string_view source) {
  for (const auto& [key, found] : metadata) {
    if (key != checksum_key) continue;
    const std::size_t begin = std::min(checksum_begin, bytes.size()),
                      end = std::min(begin + no_checksum.size(), bytes.size());
    std::uint32_t checksum = crc32(bytes.first(begin));
    checksum = crc32(std::as_bytes(std::span(no_checksum)), checksum);
    checksum = crc32(bytes.subspan(end), checksum);
    if (checksum_text(checksum) != found)
      throw file_error(source, "the file is damaged: expected the checksum ", checksum_text(checksum), ", found ",
                       quote(found));
  }
}

}  // namespace crate::detail
