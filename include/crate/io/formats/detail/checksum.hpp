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

// A safetensors file with a checksum of itself as the first text of its metadata: the CRC-32 of the whole file with
// "00000000" in place of the checksum.

namespace crate::detail {

inline constexpr std::string_view checksum_key = "checkpoint checksum";
inline constexpr std::string_view checkpoint_format_key = "checkpoint format";  // in files that have a checksum
inline constexpr std::string_view no_checksum = "00000000";

/// The text between the length of the header and the checksum.
inline constexpr std::string_view before_checksum = R"({"__metadata__":{"checkpoint checksum":")";
inline constexpr std::size_t checksum_begin = sizeof(std::uint64_t) + before_checksum.size();

[[nodiscard]] inline std::string checksum_text(std::uint32_t checksum) {
  std::array<char, 8> digits{};
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), checksum, 16).ptr;
  const std::string_view text(digits.data(), static_cast<std::size_t>(end - digits.data()));
  return std::string(no_checksum.substr(text.size())) + std::string(text);
}

/// Replaces `no_checksum` in a frame by the checksum.
inline void insert_checksum(std::string& frame, const std::vector<const Tensor*>& tensors) {
  std::uint32_t checksum = crc32(std::as_bytes(std::span(frame)));
  for (const Tensor* const tensor : tensors) checksum = crc32(tensor->bytes, checksum);
  frame.replace(checksum_begin, no_checksum.size(), checksum_text(checksum));
}

/// The metadata of a file without those of a checksum.
[[nodiscard]] inline Metadata without_checksum(Metadata metadata) {
  std::erase_if(metadata,
                [](const auto& entry) { return entry.first == checksum_key || entry.first == checkpoint_format_key; });
  return metadata;
}

/// Throws FileError if the metadata have a checksum other than that of these bytes.
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
