// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/detail/byte_cursor.hpp"
#include "crate/io/formats/detail/first_bytes.hpp"
#include "crate/io/formats/detail/npy_header.hpp"
#include "crate/io/formats/detail/strided_tensor.hpp"
#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

// Arrays in numpy's .npy format, written by numpy.save: a magic string, the version (1, 2 or 3), the length of the
// header, the header, and the elements up to the end of the file.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

namespace crate {

/// The array, as a table of one tensor named "array". Little-endian elements in C order are not copied; others (Fortran
/// order, big-endian) are converted. Throws FileError for other files, an invalid header, elements that are not real
/// numbers, integers or booleans, and on another number of bytes than the header states.
[[nodiscard]] TensorTable read_npy(const std::filesystem::path& path, FileAccess access = FileAccess::map);

/// read_npy for bytes in memory, which must outlive the table and all its copies. `source` names them in messages.
[[nodiscard]] TensorTable parse_npy(std::span<const std::byte> bytes, std::string source = "in memory");

namespace detail {

inline constexpr std::string_view npy_mark = "\x93NUMPY";

/// Keeps the bytes of the array alive.
struct NpyBytes {
  std::shared_ptr<const FileBytes> file;
  TensorCopies copies = {};
};

/// The text of the header; the cursor is then at the first element.
[[nodiscard]] inline std::string_view npy_header_text(ByteCursor& cursor, std::string_view source) {
  cursor.take_text(npy_mark.size());
  const auto version = cursor.take<std::uint8_t>(), revision = cursor.take<std::uint8_t>();
  if (version < 1 || version > 3 || revision != 0)
    throw file_error(source, "expected an array of numpy in version 1.0, 2.0 or 3.0 of its format, found ",
                     int{version}, ".", int{revision});
  const std::uint32_t length = version == 1 ? cursor.take<std::uint16_t>() : cursor.take<std::uint32_t>();
  return cursor.take_text(length);
}

/// The strides, in elements, of a packed array in column-major (Fortran) or row-major (C) order.
[[nodiscard]] inline std::vector<Index> packed_strides(std::span<const Index> shape, bool is_column_major) {
  std::vector<Index> strides(shape.size());
  Index stride = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t dimension = is_column_major ? i : shape.size() - 1 - i;
    strides[dimension] = stride;
    stride *= std::max<Index>(1, shape[dimension]);
  }
  return strides;
}

/// Points the tensor to a copy with the bytes of each element reversed.
inline void reverse_elements(Tensor& tensor, TensorCopies& copies) {
  const auto size = static_cast<std::size_t>(dtype_bits(tensor.dtype)) / 8;
  copies.push_back(std::make_unique_for_overwrite<std::byte[]>(tensor.bytes.size()));
  std::byte* const target = copies.back().get();
  for (std::size_t begin = 0; begin < tensor.bytes.size(); begin += size)
    std::reverse_copy(tensor.bytes.data() + begin, tensor.bytes.data() + begin + size, target + begin);
  tensor.bytes = {target, tensor.bytes.size()};
}

inline void check_npy_mark(std::span<const std::byte> bytes, std::string_view source) {
  if (begins_with(bytes, npy_mark)) return;
  if (begins_with(bytes, zip_mark))
    throw file_error(source,
                     "expected an array of numpy (.npy), found a zip archive, as numpy.savez writes: save one "
                     "array by numpy.save");
  throw other_file_error(source, "an array of numpy (.npy)", bytes);
}

inline TensorTable parse_npy(std::span<const std::byte> bytes, std::string source,
                             std::shared_ptr<const FileBytes> file) try {
  check_npy_mark(bytes, source);
  ByteCursor cursor(bytes, source, "array of numpy");
  const NpyHeader header = NpyHeaderReader(npy_header_text(cursor, source), source).read();
  const auto owner = std::make_shared<NpyBytes>(NpyBytes{std::move(file)});
  Tensor tensor = {.name = "array", .dtype = header.dtype, .shape = header.shape};
  tensor.source = source;
  const std::optional<std::size_t> size = byte_count(tensor.dtype, tensor.shape);
  if (!size || *size != cursor.left())
    throw file_error(source, "expected as many bytes as ", dtype_name(tensor.dtype), " of shape ",
                     shape_text(tensor.shape), " take, found ", cursor.left(),
                     size && *size < cursor.left() ? ": more than one array?" : "");
  const std::span<const std::byte> elements = cursor.take_bytes(*size);
  MemoryBudget budget(source, elements.size());
  set_strided_bytes(tensor, elements, 0, packed_strides(tensor.shape, header.is_column_major), owner->copies, budget);
  if (header.is_big_endian && dtype_bits(tensor.dtype) > 8) reverse_elements(tensor, owner->copies);
  if (owner->copies.empty()) tensor.file = owner->file.get();
  return TensorTable(std::move(source), {std::move(tensor)}, {}, owner);
} catch (const std::bad_alloc&) { throw file_error(source, "the array needs more memory than there is"); }

}  // namespace detail

inline TensorTable read_npy(const std::filesystem::path& path, FileAccess access) {
  const auto file = std::make_shared<const FileBytes>(path, access);
  return detail::parse_npy(file->bytes(), path.string(), file);
}

inline TensorTable parse_npy(std::span<const std::byte> bytes, std::string source) {
  return detail::parse_npy(bytes, std::move(source), nullptr);
}

}  // namespace crate
