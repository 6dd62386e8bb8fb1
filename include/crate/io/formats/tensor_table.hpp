// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/io/formats/file_bytes.hpp"
#include "crate/io/formats/file_error.hpp"

// The content of a file of tensors: arrays by name, and texts.

namespace crate {

/// The type of a stored tensor's elements. The order is the reverse of that in safetensors files: f64 is
/// written before f32.
enum class Dtype : std::uint8_t {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64,
};

namespace detail {

struct DtypeProperties {
  std::string_view name;
  Index bits;
};

/// In the order of the enumeration.
inline constexpr std::array<DtypeProperties, 22> dtype_table = {{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};

}  // namespace detail

/// The name of a dtype in safetensors files, as in "F32".
[[nodiscard]] constexpr std::string_view dtype_name(Dtype dtype) {
  return detail::dtype_table[static_cast<std::size_t>(dtype)].name;
}

/// The size of an element in bits.
[[nodiscard]] constexpr Index dtype_bits(Dtype dtype) {
  return detail::dtype_table[static_cast<std::size_t>(dtype)].bits;
}

[[nodiscard]] constexpr std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < detail::dtype_table.size(); ++i)
    if (detail::dtype_table[i].name == name) return static_cast<Dtype>(i);
  return std::nullopt;
}

/// An array in a file, or one to be written: row-major, packed, little-endian, at any address. It owns its name and
/// shape; its bytes belong to the table that it was read into, to the matrix that it was made from, or to `owner`.
struct Tensor {
  std::string name = {};
  Dtype dtype = Dtype::f32;
  std::uint32_t key_begin = 0;    ///< where in the name its key in the innermost nested dict begins
  std::vector<Index> shape = {};  ///< outermost dimension first; empty: one number
  std::span<const std::byte> bytes = {};
  std::string_view source = {};            ///< the file from which it was read, for messages
  const FileBytes* file = nullptr;         ///< the file of the bytes, if any; clear it when you change them
  std::shared_ptr<const void> owner = {};  ///< keeps the bytes alive if nothing else does
};

/// Releases the memory of a tensor's bytes in a mapped file when it is no longer needed; a later access reads
/// them from the file again.
inline void release(const Tensor& tensor) {
  if (tensor.file != nullptr) tensor.file->release(tensor.bytes);
}

/// "[2, 3]"
[[nodiscard]] inline std::string shape_text(std::span<const Index> shape) {
  std::string text = "[";
  for (const Index dimension : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(dimension);
  }
  return text += ']';
}

/// The number of bytes of a packed tensor; nothing if a dimension is negative, the product overflows (zeros count as
/// ones), or the last byte is not full.
[[nodiscard]] inline std::optional<std::size_t> byte_count(Dtype dtype, std::span<const Index> shape) {
  constexpr Index largest = std::numeric_limits<Index>::max();
  Index bits = dtype_bits(dtype);
  bool empty = false;
  for (const Index dimension : shape) {
    if (dimension < 0 || (dimension > 0 && bits > largest / dimension)) return std::nullopt;
    if (dimension == 0)
      empty = true;
    else
      bits *= dimension;
  }
  if (empty) return 0;
  if (bits % 8 != 0) return std::nullopt;
  return static_cast<std::size_t>(bits / 8);
}

/// An error with the names of its file and tensor: "file 'a.safetensors': tensor 'Z': expected ..., found ...".
template <class... Parts>
[[gnu::cold]] [[nodiscard]] FileError tensor_error(const Tensor& tensor, const Parts&... parts) {
  const std::string message = concatenate("tensor ", quote(tensor.name), ": ", parts...);
  return tensor.source.empty() ? FileError(message) : file_error(tensor.source, message);
}

/// Texts that a file contains in addition to its tensors, in the file's order.
using Metadata = std::vector<std::pair<std::string, std::string>>;

/// The tensors of a file, by name, with the memory of their bytes. Copies share this memory.
class TensorTable {
 public:
  /// `source` names the file in messages; `owner` keeps the bytes of the tensors alive. Throws FileError if two
  /// tensors have the same name.
  TensorTable(std::string source, std::vector<Tensor> tensors, Metadata metadata, std::shared_ptr<const void> owner);

  [[nodiscard]] const std::string& source() const { return *source_; }
  [[nodiscard]] const Metadata& metadata() const { return metadata_; }

  /// In the order of their bytes in the file.
  [[nodiscard]] const std::vector<Tensor>& tensors() const& { return tensors_; }
  const std::vector<Tensor>& tensors() const&& = delete;

  /// Moves the tensors out of a table that is no longer needed. Their bytes live as long as a copy of
  /// owner(), made before.
  [[nodiscard]] std::vector<Tensor> take_tensors() && { return std::move(tensors_); }

  /// Keeps the bytes of the tensors alive.
  [[nodiscard]] const std::shared_ptr<const void>& owner() const { return owner_; }

  /// The tensor of this name; nullptr if there is none.
  [[nodiscard]] const Tensor* find(std::string_view wanted) const&;
  const Tensor* find(std::string_view wanted) const&& = delete;

  /// The tensor of this name. Throws FileError if there is none.
  [[nodiscard]] const Tensor& at(std::string_view wanted) const&;
  const Tensor& at(std::string_view wanted) const&& = delete;

  /// The text under `key` in the file's metadata; nullptr if there is none.
  [[nodiscard]] const std::string* find_metadata(std::string_view key) const&;
  const std::string* find_metadata(std::string_view key) const&& = delete;

 private:
  [[nodiscard]] const std::string& name(std::uint32_t position) const { return tensors_[position].name; }

  std::shared_ptr<const std::string> source_;
  std::shared_ptr<const void> owner_;
  std::vector<Tensor> tensors_;
  std::vector<std::uint32_t> by_name_;  // positions in tensors_, sorted by name
  Metadata metadata_;
};

inline TensorTable::TensorTable(std::string source, std::vector<Tensor> tensors, Metadata metadata,
                                std::shared_ptr<const void> owner)
    : source_(std::make_shared<const std::string>(std::move(source))),
      owner_(std::move(owner)),
      tensors_(std::move(tensors)),
      by_name_(tensors_.size()),
      metadata_(std::move(metadata)) {
  for (Tensor& tensor : tensors_) tensor.source = *source_;
  std::iota(by_name_.begin(), by_name_.end(), std::uint32_t{0});
  const auto before = [this](auto a, auto b) { return name(a) < name(b); };
  if (!std::is_sorted(by_name_.begin(), by_name_.end(), before)) std::sort(by_name_.begin(), by_name_.end(), before);
  const auto twin =
      std::adjacent_find(by_name_.begin(), by_name_.end(), [this](auto a, auto b) { return name(a) == name(b); });
  if (twin != by_name_.end()) throw tensor_error(tensors_[*twin], "expected one tensor of this name, found two");
}

inline const Tensor* TensorTable::find(std::string_view wanted) const& {
  const auto found = std::lower_bound(by_name_.begin(), by_name_.end(), wanted,
                                      [this](auto position, std::string_view key) { return name(position) < key; });
  return found != by_name_.end() && name(*found) == wanted ? &tensors_[*found] : nullptr;
}

inline const Tensor& TensorTable::at(std::string_view wanted) const& {
  const Tensor* const tensor = find(wanted);
  if (tensor == nullptr) throw file_error(source(), "expected a tensor ", quote(wanted), ", found none of that name");
  return *tensor;
}

inline const std::string* TensorTable::find_metadata(std::string_view key) const& {
  const auto found =
      std::find_if(metadata_.begin(), metadata_.end(), [&](const auto& entry) { return entry.first == key; });
  return found != metadata_.end() ? &found->second : nullptr;
}

/// Whether a tensor is F64; a model with such weights computes in double, others in float.
[[nodiscard]] inline bool holds_doubles(const TensorTable& table) {
  const auto& tensors = table.tensors();
  return std::any_of(tensors.begin(), tensors.end(), [](const Tensor& tensor) { return tensor.dtype == Dtype::f64; });
}

}  // namespace crate
