// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"

// The header of a safetensors file: its limits, and its parser.

namespace crate {

/// Limits of safetensors files here, for reading and writing.
struct SafetensorsLimits {
  static constexpr std::size_t header_bytes = 100'000'000;
  static constexpr std::size_t name_bytes = 4096;
  static constexpr std::size_t rank = 16;
  static constexpr std::size_t metadata_entries = 4096;
  static constexpr std::size_t metadata_text_bytes = std::size_t{128} << 10U;
};

namespace detail {

inline constexpr std::string_view metadata_key = "__metadata__";

/// A name that occurs more than once, if there is one.
[[nodiscard]] inline std::optional<std::string_view> find_duplicate(std::vector<std::string_view> names) {
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  return twin != names.end() ? std::optional(*twin) : std::nullopt;
}

inline void check_unique_keys(const Metadata& metadata, std::string_view source) {
  std::vector<std::string_view> keys;
  keys.reserve(metadata.size());
  for (const auto& entry : metadata) keys.push_back(entry.first);
  if (const auto twin = find_duplicate(std::move(keys)))
    throw file_error(source, "header: ", metadata_key, ": ", quote(*twin), ": expected once, found twice");
}

/// Receives the header from the JSON parser, event by event; anything but the format is an error.
class SafetensorsHeader {
 public:
  SafetensorsHeader(std::string_view source, std::span<const std::byte> data, std::size_t header_size)
      : source_(source), data_(data) {
    constexpr std::string_view shortest = R"("":{"dtype":"U8","shape":[],"data_offsets":[0,1]})";
    tensors.reserve(header_size / (shortest.size() + 2) + 2);  // all but one also have a comma and at least one letter
  }

  std::vector<Tensor> tensors;
  Metadata metadata;

  bool null() { return refuse("null"); }
  bool boolean(bool) { return refuse("a truth value"); }
  bool number_integer(std::int64_t value) { return refuse(value); }
  bool number_float(double, const std::string& text) { return refuse(quote(text)); }
  bool binary(std::vector<std::uint8_t>&) { return refuse("binary data"); }
  bool number_unsigned(std::uint64_t value);
  bool string(std::string& text);
  bool key(std::string& text);
  bool start_object(std::size_t);
  bool end_object();
  bool start_array(std::size_t);
  bool end_array();
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) {
    throw file_error(source_, "header: expected JSON, found an error at byte ", position, ": ", quote(error.what()));
  }

 private:
  enum class Place { outside, header, metadata, tensor, shape, offsets };
  enum class Field { dtype, shape, offsets };

  template <class Found>
  bool refuse(const Found& found) const {
    throw file_error(source_, "header: ", where(), ": expected ", wanted(), ", found ", found);
  }
  [[nodiscard]] std::string where() const;
  [[nodiscard]] std::string_view wanted() const;
  void begin_field(std::string_view name);
  void end_tensor();

  std::string_view source_;
  std::span<const std::byte> data_;
  Place place_ = Place::outside;
  bool has_metadata_ = false;

  std::string name_;  // of the current tensor or metadata entry
  std::optional<Field> field_;
  std::array<bool, 3> has_field_ = {};
  Dtype dtype_ = Dtype::f32;
  std::vector<Index> shape_;
  std::vector<std::uint64_t> offsets_;
};

inline std::string SafetensorsHeader::where() const {
  switch (place_) {
    case Place::outside:
    case Place::header:
      return "top level";
    case Place::metadata:
      return concatenate(metadata_key, ": ", quote(name_));
    default:
      break;
  }
  constexpr std::array<std::string_view, 3> fields = {"dtype", "shape", "data_offsets"};
  const std::string tensor = "tensor " + quote(name_);
  return field_ ? concatenate(tensor, ": ", fields[static_cast<std::size_t>(*field_)]) : tensor;
}

inline std::string_view SafetensorsHeader::wanted() const {
  switch (place_) {
    case Place::outside:
      return "an object";
    case Place::header:
      return "objects";
    case Place::metadata:
      return "a text";
    case Place::shape:
      return "at most 16 unsigned integers below 2^63";
    case Place::offsets:
      return "two unsigned integers";
    case Place::tensor:
      break;
  }
  return field_ == Field::dtype ? "a text" : "an array";
}

inline bool SafetensorsHeader::number_unsigned(std::uint64_t value) {
  if (place_ == Place::shape) {
    if (shape_.size() == SafetensorsLimits::rank) return refuse("more");
    if (value > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())) return refuse(value);
    shape_.push_back(static_cast<Index>(value));
  } else if (place_ == Place::offsets) {
    if (offsets_.size() == 2) return refuse("more");
    offsets_.push_back(value);
  } else {
    return refuse(value);
  }
  return true;
}

inline bool SafetensorsHeader::string(std::string& text) {
  if (place_ == Place::metadata) {
    metadata.emplace_back(name_, std::move(text));
    return true;
  }
  if (place_ != Place::tensor || field_ != Field::dtype) return refuse(quote(text));
  const std::optional<Dtype> dtype = dtype_from_name(text);
  if (!dtype) throw file_error(source_, "header: ", where(), ": found the unknown dtype ", quote(text));
  dtype_ = *dtype;
  return true;
}

inline bool SafetensorsHeader::key(std::string& text) {
  if (place_ == Place::tensor) {
    begin_field(text);
    return true;
  }
  if (text.size() > SafetensorsLimits::name_bytes)
    throw file_error(source_, "header: expected names of at most ", SafetensorsLimits::name_bytes, " bytes, found ",
                     quote(text), " of ", text.size());
  if (place_ == Place::metadata && metadata.size() == SafetensorsLimits::metadata_entries)
    throw file_error(source_, "header: ", metadata_key, ": expected at most ", SafetensorsLimits::metadata_entries,
                     " texts, found more");
  name_ = text;
  return true;
}

inline void SafetensorsHeader::begin_field(std::string_view name) {
  field_.reset();
  if (name == "dtype") field_ = Field::dtype;
  if (name == "shape") field_ = Field::shape;
  if (name == "data_offsets") field_ = Field::offsets;
  if (!field_)
    throw file_error(source_, "header: ", where(), ": expected dtype, shape and data_offsets, found ", quote(name));
  if (std::exchange(has_field_[static_cast<std::size_t>(*field_)], true))
    throw file_error(source_, "header: ", where(), ": expected once, found twice");
}

inline bool SafetensorsHeader::start_object(std::size_t) {
  if (place_ == Place::outside) {
    place_ = Place::header;
  } else if (place_ == Place::header && name_ == metadata_key) {
    if (std::exchange(has_metadata_, true))
      throw file_error(source_, "header: ", metadata_key, ": expected once, found twice");
    place_ = Place::metadata;
  } else if (place_ == Place::header) {
    place_ = Place::tensor;
    field_.reset();
    has_field_ = {};
    shape_.clear();
    offsets_.clear();
  } else {
    return refuse("an object");
  }
  return true;
}

inline bool SafetensorsHeader::end_object() {
  if (place_ == Place::tensor) end_tensor();
  if (place_ == Place::metadata) check_unique_keys(metadata, source_);
  place_ = place_ == Place::header ? Place::outside : Place::header;
  return true;
}

inline bool SafetensorsHeader::start_array(std::size_t) {
  if (place_ != Place::tensor || field_ == Field::dtype) return refuse("an array");
  place_ = field_ == Field::shape ? Place::shape : Place::offsets;
  return true;
}

inline bool SafetensorsHeader::end_array() {
  if (place_ == Place::offsets && offsets_.size() != 2) return refuse(offsets_.size());
  place_ = Place::tensor;
  return true;
}

inline void SafetensorsHeader::end_tensor() {
  field_.reset();
  if (has_field_ != std::array{true, true, true})
    throw file_error(source_, "header: ", where(), ": expected dtype, shape and data_offsets, found only some of them");
  Tensor tensor = {name_, dtype_, 0, shape_, {}, source_};
  const std::uint64_t begin = offsets_[0];
  const std::uint64_t end = offsets_[1];
  if (begin > end || end > data_.size())
    throw tensor_error(tensor, "data_offsets: expected a range within the ", data_.size(), " bytes of data, found [",
                       begin, ", ", end, "]", begin <= end ? ": the file may end early" : "");
  const std::optional<std::size_t> expected = byte_count(dtype_, shape_);
  if (!expected)
    throw tensor_error(tensor, "shape: expected a whole number of bytes below 2^60, found ", shape_text(shape_), " of ",
                       dtype_name(dtype_));
  if (*expected != end - begin)
    throw tensor_error(tensor, "data_offsets: expected ", *expected, " bytes for ", dtype_name(dtype_), " of shape ",
                       shape_text(shape_), ", found ", end - begin);
  tensor.bytes = data_.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
  tensors.push_back(std::move(tensor));
}

}  // namespace detail

}  // namespace crate
