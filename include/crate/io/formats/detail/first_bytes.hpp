// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "crate/io/formats/file_error.hpp"

// Recognises by its first bytes a file that was given in place of one of another kind.

namespace crate::detail {

inline constexpr std::string_view zip_mark = "PK\x03\x04";

/// The bytes as text, at most `most` of them.
[[nodiscard]] inline std::string_view first_text(std::span<const std::byte> bytes, std::size_t most = ~std::size_t{0}) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), most)};
}

[[nodiscard]] inline bool begins_with(std::span<const std::byte> bytes, std::string_view mark) {
  return first_text(bytes).starts_with(mark);
}

struct KnownBeginning {
  std::size_t position;  ///< of the mark, in bytes
  std::string_view mark;
  std::string_view description;
};

inline constexpr std::array known_beginnings = {
    KnownBeginning{0, "version https://git-lfs.",
                   "a Git LFS pointer, which stands for the file: fetch that by 'git lfs pull'"},
    KnownBeginning{257, "ustar", "a tar archive: unpack it by 'tar xf'"},
    KnownBeginning{0, "\x1F\x8B", "a gzip file: unpack it by 'gunzip' or 'tar xzf'"},
    KnownBeginning{0, "BZh", "a bzip2 file: unpack it by 'bunzip2'"},
    KnownBeginning{0,
                   "\xFD"
                   "7zXZ",
                   "an xz file: unpack it by 'unxz'"},
    KnownBeginning{0, "\x28\xB5\x2F\xFD", "a Zstandard file: unpack it by 'unzstd'"},
    KnownBeginning{0, "7z\xBC\xAF\x27\x1C", "a 7z archive: unpack it"},
    KnownBeginning{0, "Rar!\x1A\x07", "a RAR archive: unpack it"},
    KnownBeginning{0, "PK\x05\x06", "an empty zip archive"},
    KnownBeginning{0, "GGUF", "a GGUF file (llama.cpp)"},
    KnownBeginning{0, "\x89HDF\r\n\x1A\n", "an HDF5 file (Keras, .h5)"},
    KnownBeginning{0, "\x93NUMPY", "an array of numpy (.npy)"},
    KnownBeginning{4, "TFL3", "a TensorFlow Lite model"},
    KnownBeginning{0, "\x89PNG\r\n\x1A\n", "a PNG picture"},
    KnownBeginning{0, "\xFF\xD8\xFF", "a JPEG picture"},
    KnownBeginning{0, "GIF8", "a GIF picture"},
    KnownBeginning{0, std::string_view("II*\0", 4), "a TIFF picture"},
    KnownBeginning{0, std::string_view("MM\0*", 4), "a TIFF picture"},
    KnownBeginning{0, std::string_view("II+\0", 4), "a TIFF picture"},
    KnownBeginning{0, std::string_view("MM\0+", 4), "a TIFF picture"},
    KnownBeginning{8, "WEBP", "a WebP picture"},
    KnownBeginning{4, "ftypavif", "an AVIF picture"},
    KnownBeginning{4, "ftypavis", "an AVIF picture"},
    KnownBeginning{4, "ftypmif1", "a HEIC picture"},
    KnownBeginning{4, "ftypmsf1", "a HEIC picture"},
    KnownBeginning{4, "ftyphe", "a HEIC picture"},
    KnownBeginning{4, "ftyp", "a video (MP4, MOV) or a picture from a telephone"},
    KnownBeginning{4, "JXL \r\n\x87\n", "a JPEG XL picture"},
    KnownBeginning{4, "jP  \r\n\x87\n", "a JPEG 2000 picture"},
    KnownBeginning{0, std::string_view("\0\0\x08\x03", 4), "IDX images (MNIST)"},
    KnownBeginning{0, std::string_view("\0\0\x08\x01", 4), "IDX labels (MNIST)"},
    KnownBeginning{0, "%PDF", "a PDF document"},
    KnownBeginning{0,
                   "\x7F"
                   "ELF",
                   "a program (ELF)"},
};

/// The text without a leading byte order mark and white space.
[[nodiscard]] inline std::string_view trimmed_front(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

/// Whether a trimmed text begins like a JSON object.
[[nodiscard]] inline bool begins_as_json(std::string_view text) {
  return text.size() > 1 && text[0] == '{' && text.find_first_of("\"}", 1) != std::string_view::npos;
}

/// A known kind of text that servers or tools leave in place of a file; nothing for other text.
[[nodiscard]] inline std::optional<std::string> describe_known_text(std::string_view text) {
  text = trimmed_front(text);
  std::string lower(text.substr(0, 4096));
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (lower.starts_with("<!doctype html") || lower.starts_with("<html"))
    return "an HTML page, such as a site sends in place of a file that asks for consent or a login: download it again";
  if (lower.starts_with("<?xml") || lower.starts_with("<error>"))
    return "an XML text, such as a server sends in place of a file that it refuses: download it again";
  const bool has_map = lower.find("\"weight_map\"") != std::string::npos;
  const bool has_size =
      lower.find("\"metadata\"") != std::string::npos && lower.find("total_size") != std::string::npos;
  if (begins_as_json(text) && (has_map || has_size))
    return "the JSON index of weights that lie in several files next to it: join them into one";
  return std::nullopt;
}

/// The beginning of any other text; nothing if the bytes are not text.
[[nodiscard]] inline std::optional<std::string> describe_text(std::string_view text) {
  text = trimmed_front(text);
  const std::string_view shown = text.substr(0, 256);
  const bool is_text = !shown.empty() && std::all_of(shown.begin(), shown.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20U || c == '\n' || c == '\r' || c == '\t';
  });
  if (!is_text) return std::nullopt;
  return (begins_as_json(text) ? "a JSON text that begins " : "a text that begins ") + quote(text.substr(0, 40));
}

/// Whether the bytes begin like the protocol buffers (Google) in which ONNX and TensorFlow store models: a version
/// below 32, then a field with a text or another message.
[[nodiscard]] inline bool begins_as_protocol_buffer(std::string_view text) {
  constexpr std::string_view fields = "\x12\x1A\x22\x2A\x32\x3A\x42";
  return text.size() > 3 && text[0] == '\x08' && text[1] > 0 && text[1] < 32 &&
         fields.find(text[2]) != std::string_view::npos;
}

/// The kind of a file from its first bytes, such as "a PNG picture", with advice if there is any;
/// nothing if it is unknown.
[[nodiscard]] inline std::optional<std::string> describe_known_file(std::span<const std::byte> bytes) {
  const std::string_view text = first_text(bytes);
  if (text.empty()) return "an empty file, perhaps left by an interrupted download or copy";
  for (const KnownBeginning& known : known_beginnings)
    if (text.size() >= known.position && text.substr(known.position).starts_with(known.mark))
      return std::string(known.description);
  if (text.size() > 10 && text.starts_with("BM") && text.substr(6).starts_with(std::string_view("\0\0\0\0", 4)))
    return "a BMP picture";
  if (begins_as_protocol_buffer(text)) return "a model of ONNX or TensorFlow (protocol buffers)";
  constexpr std::string_view table_end = "\x57\xFB\x80\x8B\x24\x75\x47\xDB";
  if (text.ends_with(table_end)) return "an index of a TensorFlow checkpoint";
  if (text[0] == '\x80' && text.size() > 2 && text[1] >= 2 && text[1] <= 5)
    return "a Python pickle that torch.save did not write, or an incomplete one";
  return describe_known_text(text);
}

/// describe_known_file, or else how the text in it begins, or its size and how its bytes begin.
[[nodiscard]] inline std::string describe_file(std::span<const std::byte> bytes) {
  if (auto known = describe_known_file(bytes)) return *std::move(known);
  if (auto text = describe_text(first_text(bytes))) return *std::move(text);
  std::string description = concatenate(bytes.size(), " bytes that begin");
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (const char c : first_text(bytes, 8)) {
    const auto byte = static_cast<unsigned char>(c);
    description += {' ', digits[byte >> 4U], digits[byte & 15U]};
  }
  return description;
}

/// The error for a file of another kind than expected.
[[nodiscard]] inline FileError other_file_error(std::string_view source, std::string_view expected,
                                                std::span<const std::byte> bytes) {
  return file_error(source, "expected ", expected, ", found ", describe_file(bytes));
}

}  // namespace crate::detail
