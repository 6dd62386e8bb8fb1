// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/io/formats/detail/checksum.hpp"
#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/detail/safetensors_header.hpp"
#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/file_replacement.hpp"
#include "crate/io/formats/tensor.hpp"

// The format: the length N of the header (64 bits, little-endian), the header (N bytes of JSON), the data up to the end
// of the file. The header maps a tensor's name to {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}, offsets
// counted from the first byte of the data, and may hold texts under "__metadata__".
// https://github.com/huggingface/safetensors

namespace crate {

/// The tensors of a safetensors file. They view the file's bytes, which the table keeps alive; nothing is
/// copied. The whole structure is checked first, and every fault throws FileError: lengths, JSON, dtypes,
/// shapes, and gaps, overlaps or a remainder in the data. Memory is needed for the header only: at most four
/// times its size and a mebibyte.
[[nodiscard]] TensorTable read_safetensors(const std::filesystem::path& path, FileAccess access = FileAccess::map);

/// read_safetensors for bytes in memory, which must outlive the table and all its copies. `source` names
/// them in messages.
[[nodiscard]] TensorTable parse_safetensors(std::span<const std::byte> bytes, std::string source = "in memory");

/// Writes tensors and texts, completely or not at all, in the order of the reference implementation (dtype by
/// decreasing alignment, then name), whose files are reproduced byte for byte. Throws FileError if the file cannot be
/// written, or if `read_safetensors` would refuse it: duplicate names, a name too long or not UTF-8, bytes that do not
/// fit the shape. The checksum in the metadata of another file, and the format that requires one, are left out.
void write_safetensors(const std::filesystem::path& path, const std::vector<Tensor>& tensors,
                       const Metadata& metadata = {});

/// write_safetensors with a checksum of the whole file as its first text, so that reading it here detects any change.
/// Other software reads the file as any other.
void write_checked_safetensors(const std::filesystem::path& path, const std::vector<Tensor>& tensors,
                               Metadata metadata = {});

namespace detail {

/// The length of the header in the first bytes, if there are enough.
[[nodiscard]] inline std::optional<std::uint64_t> safetensors_header_length(std::span<const std::byte> bytes) {
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length) return std::nullopt;
  std::memcpy(&length, bytes.data(), sizeof length);
  return length;
}

/// Whether the header, after its length, begins with an object.
[[nodiscard]] inline bool has_object_in_header(std::span<const std::byte> bytes) {
  constexpr std::size_t looked_at = 1024;
  const std::string_view header = first_text(bytes, looked_at).substr(sizeof(std::uint64_t));
  const std::size_t start = header.find_first_not_of(" \t\r\n");
  return start != std::string_view::npos && header[start] == '{';
}

/// Whether the bytes begin like a safetensors file, with a possible length of the header and an object; the
/// file may still be too short.
[[nodiscard]] inline bool begins_as_safetensors(std::span<const std::byte> bytes) {
  const auto length = safetensors_header_length(bytes);
  return length && *length <= SafetensorsLimits::header_bytes && has_object_in_header(bytes);
}

/// The text of the header. Throws FileError if the file is shorter.
[[nodiscard]] inline std::string_view safetensors_header_text(std::span<const std::byte> bytes,
                                                              std::string_view source) {
  const auto length = safetensors_header_length(bytes);
  const std::size_t rest = length ? bytes.size() - sizeof *length : 0;
  if (!length || (*length > rest && !has_object_in_header(bytes)))
    throw other_file_error(source, "a safetensors file", bytes);
  if (*length > SafetensorsLimits::header_bytes)
    throw file_error(source, "expected a safetensors header of at most ", SafetensorsLimits::header_bytes,
                     " bytes, found a length of ", *length);
  if (*length > rest)
    throw file_error(source, "expected a safetensors header of ", *length, " bytes, found ", rest,
                     ": the file ends early");
  return first_text(bytes.subspan(sizeof *length), static_cast<std::size_t>(*length));
}

/// Throws FileError if there is no object, a zero byte (at which the JSON parser would stop), or so much text between
/// quotation marks that an error message about it would need much memory.
inline void check_before_parsing(std::string_view header, std::string_view source) {
  const std::size_t start = header.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos || header[start] != '{')
    throw file_error(source, "header: expected a JSON object, found ", quote(header.substr(0, 16)));
  if (header.find('\0') != std::string_view::npos) throw file_error(source, "header: expected JSON, found a zero byte");

  std::size_t last_mark = 0;
  const auto check_distance = [&](std::size_t position) {
    if (position - last_mark > SafetensorsLimits::metadata_text_bytes)
      throw file_error(source, "header: expected texts of at most ", SafetensorsLimits::metadata_text_bytes,
                       " bytes, found more at byte ", last_mark);
    last_mark = position;
  };
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (header[i] == '\\')
      ++i;
    else if (header[i] == '"')
      check_distance(i);
  }
  check_distance(header.size());
}

/// Sorts the tensors by their place in the file. Throws FileError if there are gaps, overlaps or a
/// remainder in the data.
inline void order_and_check_layout(std::vector<Tensor>& tensors, std::span<const std::byte> data,
                                   std::string_view source) {
  const auto begin = [&](const Tensor& tensor) { return tensor.bytes.data() - data.data(); };
  std::sort(tensors.begin(), tensors.end(), [&](const Tensor& a, const Tensor& b) {
    return std::tuple(begin(a), a.bytes.size(), std::string_view(a.name)) <
           std::tuple(begin(b), b.bytes.size(), std::string_view(b.name));
  });
  std::size_t end = 0;
  for (const Tensor& tensor : tensors) {
    if (static_cast<std::size_t>(begin(tensor)) != end)
      throw tensor_error(tensor, "data_offsets: expected to begin at ", end, " where the tensor before ends, found ",
                         begin(tensor));
    end += tensor.bytes.size();
  }
  if (end != data.size())
    throw file_error(source, "expected ", end, " bytes of data for the tensors of the header, found ", data.size());
}

inline TensorTable parse_safetensors(std::span<const std::byte> bytes, std::string source,
                                     std::shared_ptr<const FileBytes> file) {
  const std::string_view text = safetensors_header_text(bytes, source);
  check_before_parsing(text, source);
  const std::span<const std::byte> data = bytes.subspan(sizeof(std::uint64_t) + text.size());
  SafetensorsHeader header(source, data, text.size());
  nlohmann::json::sax_parse(text.begin(), text.end(), &header);
  std::vector<Tensor> tensors = std::move(header.tensors);
  order_and_check_layout(tensors, data, source);
  check_checksum(bytes, header.metadata, source);
  for (Tensor& tensor : tensors) tensor.file = file.get();
  return TensorTable(std::move(source), std::move(tensors), std::move(header.metadata), std::move(file));
}

/// The tensors in the order of writing.
[[nodiscard]] inline std::vector<const Tensor*> writing_order(const std::vector<Tensor>& tensors) {
  std::vector<const Tensor*> order;
  order.reserve(tensors.size());
  for (const Tensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
    return a->dtype != b->dtype ? a->dtype > b->dtype : a->name < b->name;
  });
  return order;
}

[[nodiscard]] inline std::string json_text(std::string_view text, std::string_view source) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw file_error(source, "cannot be written: expected UTF-8, found ", quote(text));
  }
}

/// {"key":"text",...}
[[nodiscard]] inline std::string metadata_json(const Metadata& metadata, std::string_view source) {
  std::string json;
  for (const auto& [key, text] : metadata) {
    json += json.empty() ? '{' : ',';
    json += json_text(key, source) + ':' + json_text(text, source);
  }
  return json += '}';
}

[[nodiscard]] inline std::string tensor_json(const Tensor& tensor, std::size_t begin, std::string_view source) {
  std::string shape;
  for (const Index dimension : tensor.shape) {
    if (!shape.empty()) shape += ',';
    shape += std::to_string(dimension);
  }
  return concatenate(json_text(tensor.name, source), R"(:{"dtype":")", dtype_name(tensor.dtype), R"(","shape":[)",
                     shape, R"(],"data_offsets":[)", begin, ',', begin + tensor.bytes.size(), "]}");
}

/// Length and header, padded with spaces to a multiple of 8 bytes.
[[nodiscard]] inline std::string safetensors_frame(const std::vector<const Tensor*>& order, const Metadata& metadata,
                                                   std::string_view source) {
  std::string header = "{";
  if (!metadata.empty()) header += json_text(metadata_key, source) + ':' + metadata_json(metadata, source);
  std::size_t begin = 0;
  for (const Tensor* const tensor : order) {
    if (header.size() > 1) header += ',';
    header += tensor_json(*tensor, begin, source);
    begin += tensor->bytes.size();
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > SafetensorsLimits::header_bytes)
    throw file_error(source, "cannot be written: expected a header of at most ", SafetensorsLimits::header_bytes,
                     " bytes, found ", header.size());

  const std::uint64_t length = header.size();
  std::string frame(sizeof length, '\0');
  std::memcpy(frame.data(), &length, sizeof length);
  return frame += header;
}

/// Throws FileError if read_safetensors would refuse these tensors.
inline void check_writable(const std::vector<Tensor>& tensors, std::string_view source) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const Tensor& tensor : tensors) {
    static_cast<void>(element_count(tensor));
    if (tensor.name.size() > SafetensorsLimits::name_bytes || tensor.name == metadata_key)
      throw file_error(source, "cannot be written: expected names of at most ", SafetensorsLimits::name_bytes,
                       " bytes other than ", metadata_key, ", found ", quote(tensor.name));
    if (tensor.shape.size() > SafetensorsLimits::rank)
      throw tensor_error(tensor, "cannot be written: expected at most ", SafetensorsLimits::rank, " dimensions, found ",
                         tensor.shape.size());
    names.push_back(tensor.name);
  }
  if (const auto twin = find_duplicate(std::move(names)))
    throw file_error(source, "cannot be written: expected one tensor ", quote(*twin), ", found two");
}

/// Throws FileError if read_safetensors would refuse these texts.
inline void check_writable(const Metadata& metadata, std::string_view source) {
  check_unique_keys(metadata, source);
  if (metadata.size() > SafetensorsLimits::metadata_entries)
    throw file_error(source, "cannot be written: expected at most ", SafetensorsLimits::metadata_entries,
                     " texts of metadata, found ", metadata.size());
  for (const auto& [key, text] : metadata)
    if (key.size() > SafetensorsLimits::name_bytes ||
        json_text(text, source).size() > SafetensorsLimits::metadata_text_bytes)
      throw file_error(source, "cannot be written: the metadata ", quote(key), " is too long");
}

/// `complete(frame, tensors in order)` may change the frame before it is written.
template <class Complete>
void write_safetensors(const std::filesystem::path& path, const std::vector<Tensor>& tensors, const Metadata& metadata,
                       const Complete& complete) {
  check_writable(tensors, path.string());
  check_writable(metadata, path.string());
  const std::vector<const Tensor*> order = writing_order(tensors);
  std::string frame = safetensors_frame(order, metadata, path.string());
  complete(frame, order);
  FileReplacement file(path);
  file.write(frame);
  for (const Tensor* const tensor : order) file.write(tensor->bytes);
  file.commit();
}

}  // namespace detail

inline TensorTable read_safetensors(const std::filesystem::path& path, FileAccess access) {
  const auto file = std::make_shared<const FileBytes>(path, access);
  return detail::parse_safetensors(file->bytes(), path.string(), file);
}

inline TensorTable parse_safetensors(std::span<const std::byte> bytes, std::string source) {
  return detail::parse_safetensors(bytes, std::move(source), nullptr);
}

inline void write_safetensors(const std::filesystem::path& path, const std::vector<Tensor>& tensors,
                              const Metadata& metadata) {
  detail::write_safetensors(path, tensors, detail::without_checksum(metadata), [](std::string&, const auto&) {});
}

inline void write_checked_safetensors(const std::filesystem::path& path, const std::vector<Tensor>& tensors,
                                      Metadata metadata) {
  std::erase_if(metadata, [](const auto& entry) { return entry.first == detail::checksum_key; });
  metadata.insert(metadata.begin(), {std::string(detail::checksum_key), std::string(detail::no_checksum)});
  detail::write_safetensors(path, tensors, metadata, [](std::string& frame, const std::vector<const Tensor*>& order) {
    detail::insert_checksum(frame, order);
  });
}

}  // namespace crate
