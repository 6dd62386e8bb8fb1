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
#include "crate/io/formats/tensor_table.hpp"

static_assert(std::endian::native == std::endian::little, "tensor files are little-endian, and so must the machine be");

// Converts numbers from and to tensors.

namespace crate {

namespace detail {

/// The exact value of an IEEE half precision number. Without branches, so that loops over it vectorise, and without
/// arithmetic on subnormal numbers, which some programs disable.
[[nodiscard]] inline float float_from_f16(std::uint16_t half) {
  constexpr std::uint32_t exponent_shift = std::uint32_t{127 - 15} << 23;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7FFFU) << 13;
  const std::uint32_t normal = magnitude + exponent_shift;
  const std::uint32_t infinite_or_nan = normal + exponent_shift;
  const float smallest_normal = std::bit_cast<float>(exponent_shift + (std::uint32_t{1} << 23));
  const float subnormal = std::bit_cast<float>(magnitude + exponent_shift + (std::uint32_t{1} << 23)) - smallest_normal;

  const std::uint32_t finite = magnitude < (std::uint32_t{1} << 23) ? std::bit_cast<std::uint32_t>(subnormal) : normal;
  const std::uint32_t value = magnitude >= (std::uint32_t{31} << 23) ? infinite_or_nan : finite;
  return std::bit_cast<float>(value | (static_cast<std::uint32_t>(half & 0x8000U) << 16));
}

[[nodiscard]] inline float float_from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// target[i] = convert(element i), for packed elements at any address.
template <class Stored, class Target, class Convert>
void convert_elements(std::span<const std::byte> bytes, std::span<Target> target, const Convert& convert) {
  std::array<Stored, 1024> stored;
  for (std::size_t done = 0; done < target.size(); done += stored.size()) {
    const std::size_t count = std::min(stored.size(), target.size() - done);
    std::memcpy(stored.data(), bytes.data() + done * sizeof(Stored), count * sizeof(Stored));
    Target* const out = target.data() + done;
    for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<Target>(convert(stored[i]));
  }
}

template <class Stored, class Target>
void copy_elements(std::span<const std::byte> bytes, std::span<Target> target) {
  if constexpr (std::is_same_v<Stored, Target>) {
    if (!target.empty()) std::memcpy(target.data(), bytes.data(), target.size_bytes());
  } else {
    convert_elements<Stored>(bytes, target, [](Stored value) { return value; });
  }
}

/// The number of elements of a tensor; throws FileError unless `bytes` has the size for it.
[[nodiscard]] inline std::size_t element_count(const Tensor& tensor) {
  const std::optional<std::size_t> expected = byte_count(tensor.dtype, tensor.shape);
  if (!expected || *expected != tensor.bytes.size())
    throw tensor_error(tensor, "expected as many bytes as ", dtype_name(tensor.dtype), " of shape ",
                       shape_text(tensor.shape), " take, found ", tensor.bytes.size());
  return tensor.bytes.size() * 8 / static_cast<std::size_t>(dtype_bits(tensor.dtype));
}

inline void check_rank(const Tensor& tensor, std::size_t rank) {
  if (tensor.shape.size() != rank)
    throw tensor_error(tensor, "expected ", rank, " dimensions, found shape ", shape_text(tensor.shape));
}

}  // namespace detail

namespace detail {

/// Copies elements from number `begin` on, as many as `target` has. Throws FileError unless they are
/// floating-point numbers.
template <Scalar S>
void copy_from(const Tensor& tensor, std::size_t begin, std::span<S> target) {
  const auto size = static_cast<std::size_t>(dtype_bits(tensor.dtype)) / 8;
  const std::span<const std::byte> bytes = tensor.bytes.subspan(begin * size);
  switch (tensor.dtype) {
    case Dtype::f64:
      return copy_elements<double>(bytes, target);
    case Dtype::f32:
      return copy_elements<float>(bytes, target);
    case Dtype::f16:
      return convert_elements<std::uint16_t>(bytes, target, [](std::uint16_t bits) { return float_from_f16(bits); });
    case Dtype::bf16:
      return convert_elements<std::uint16_t>(bytes, target, [](std::uint16_t bits) { return float_from_bf16(bits); });
    default:
      throw tensor_error(tensor, "expected F64, F32, F16 or BF16, found ", dtype_name(tensor.dtype));
  }
}

/// Throws FileError unless the tensor has this number of elements.
inline void check_element_count(const Tensor& tensor, std::size_t expected) {
  if (element_count(tensor) != expected)
    throw tensor_error(tensor, "expected ", expected, " elements, found shape ", shape_text(tensor.shape));
}

/// Whether no number is infinite or nan; by their bits, which works even if the compiler assumes finite numbers.
template <Scalar S>
[[nodiscard]] bool all_finite(std::span<const S> numbers) {
  using Bits = std::conditional_t<sizeof(S) == sizeof(std::uint32_t), std::uint32_t, std::uint64_t>;
  constexpr Bits sign = Bits{1} << (8 * sizeof(S) - 1), lowest = Bits{1} << (std::numeric_limits<S>::digits - 1);
  constexpr Bits exponent = (sign - 1) & ~(lowest - 1);
  Bits carried = 0;  // into the sign, if all bits of an exponent are ones
  for (const S number : numbers) carried |= (std::bit_cast<Bits>(number) & exponent) + lowest;
  return (carried & sign) == 0;
}

/// "[2, 3]": the indices of an element of a row-major tensor.
[[nodiscard]] inline std::string place_text(std::span<const Index> shape, std::size_t element) {
  std::vector<Index> place(shape.size());
  for (std::size_t i = shape.size(); i > 0; --i) {
    const auto size = static_cast<std::size_t>(shape[i - 1]);
    place[i - 1] = static_cast<Index>(element % size);
    element /= size;
  }
  return shape_text(place);
}

/// The error for numbers that are not finite as S: their count, and the first one.
template <Scalar S>
[[nodiscard]] FileError not_finite_error(const Tensor& tensor) {
  const std::size_t elements = element_count(tensor);
  std::size_t count = 0, first = elements;
  for (std::size_t i = 0; i < elements; ++i) {
    S number = 0;
    copy_from(tensor, i, std::span(&number, 1));
    if (all_finite(std::span<const S>(&number, 1))) continue;
    first = std::min(first, i);
    ++count;
  }
  double number = 0;
  copy_from(tensor, first, std::span(&number, 1));
  const auto bits = std::bit_cast<std::uint64_t>(number);
  std::string text = bits << 12U != 0 ? "nan" : bits >> 63U != 0 ? "-inf" : "inf";
  if (all_finite(std::span<const double>(&number, 1))) text = concatenate(number, ", more than float holds,");
  return tensor_error(tensor, "expected finite numbers, found ", count, " of ", elements, " that are not: ", text,
                      " at ", place_text(tensor.shape, first), count > 1 ? " is the first" : "");
}

}  // namespace detail

/// Copies the elements of a tensor of floating-point numbers, row-major, into `target`. F16, BF16 and F32 values are
/// kept exactly; F64 is rounded if the target is float. Throws FileError for another dtype or number of elements.
template <Scalar S>
void copy_values(const Tensor& tensor, std::span<S> target) {
  detail::check_element_count(tensor, target.size());
  detail::copy_from(tensor, 0, target);
}

/// copy_values that also throws FileError, with the first place, if a number is nan, infinite, or an F64
/// too large for float.
template <Scalar S>
void copy_finite_values(const Tensor& tensor, std::span<S> target) {
  constexpr std::size_t block = 4096;  // numbers that fit into the first-level cache
  detail::check_element_count(tensor, target.size());
  for (std::size_t begin = 0; begin < target.size(); begin += block) {
    const std::span<S> part = target.subspan(begin, std::min(block, target.size() - begin));
    detail::copy_from(tensor, begin, part);
    if (!detail::all_finite(std::span<const S>(part))) throw detail::not_finite_error<S>(tensor);
  }
}

/// The transposed tensor [columns, rows], with bytes of its own. Throws FileError unless it has two dimensions
/// and elements of whole bytes.
[[nodiscard]] inline Tensor transposed(const Tensor& tensor) {
  detail::check_rank(tensor, 2);
  static_cast<void>(detail::element_count(tensor));
  const auto rows = static_cast<std::size_t>(tensor.shape[0]), columns = static_cast<std::size_t>(tensor.shape[1]);
  const auto size = static_cast<std::size_t>(dtype_bits(tensor.dtype)) / 8;
  if (size == 0) throw tensor_error(tensor, "expected elements of whole bytes, found ", dtype_name(tensor.dtype));
  auto bytes = std::make_shared<std::vector<std::byte>>(tensor.bytes.size());
  constexpr std::size_t tile = 16;
  for (std::size_t first = 0; first < rows; first += tile)
    for (std::size_t j = 0; j < columns; ++j)
      for (std::size_t i = first; i < std::min(rows, first + tile); ++i)
        std::memcpy(bytes->data() + (j * rows + i) * size, tensor.bytes.data() + (i * columns + j) * size, size);
  Tensor result = tensor;
  std::swap(result.shape[0], result.shape[1]);
  result.bytes = *bytes;
  result.file = nullptr;
  result.owner = std::move(bytes);
  return result;
}

namespace detail {

/// A matrix of the size for the tokens of a tensor.
template <Scalar S>
[[nodiscard]] Matrix<S> tokens_of_shape(const Tensor& tensor) {
  if (tensor.shape.size() < 2)
    throw tensor_error(tensor, "expected at least 2 dimensions, found shape ", shape_text(tensor.shape));
  static_cast<void>(element_count(tensor));
  Index columns = 1;
  for (std::size_t i = 0; i + 1 < tensor.shape.size(); ++i) columns *= tensor.shape[i];
  return Matrix<S>(tensor.shape.back(), columns);
}

}  // namespace detail

/// Tokens from a tensor [N, d], as d x N: the bytes are the same. A tensor [B, N, d] gives d x (B N), and so on.
template <Scalar S>
[[nodiscard]] Matrix<S> tokens_from(const Tensor& tensor) {
  Matrix<S> tokens = detail::tokens_of_shape<S>(tensor);
  copy_values(tensor, std::span<S>(tokens.data(), static_cast<std::size_t>(tokens.size())));
  return tokens;
}

namespace detail {

/// Copies numbers of any kind, row-major. Throws FileError for complex numbers and floating-point
/// numbers of 8 bits or less.
template <Scalar S>
void copy_numbers(const Tensor& tensor, std::span<S> target) {
  switch (tensor.dtype) {
    case Dtype::i64:
      return copy_elements<std::int64_t>(tensor.bytes, target);
    case Dtype::u64:
      return copy_elements<std::uint64_t>(tensor.bytes, target);
    case Dtype::i32:
      return copy_elements<std::int32_t>(tensor.bytes, target);
    case Dtype::u32:
      return copy_elements<std::uint32_t>(tensor.bytes, target);
    case Dtype::i16:
      return copy_elements<std::int16_t>(tensor.bytes, target);
    case Dtype::u16:
      return copy_elements<std::uint16_t>(tensor.bytes, target);
    case Dtype::i8:
      return copy_elements<std::int8_t>(tensor.bytes, target);
    case Dtype::u8:
      return copy_elements<std::uint8_t>(tensor.bytes, target);
    case Dtype::boolean:
      return convert_elements<std::uint8_t>(tensor.bytes, target,
                                            [](std::uint8_t value) { return value != 0 ? 1 : 0; });
    case Dtype::f64:
    case Dtype::f32:
    case Dtype::f16:
    case Dtype::bf16:
      return copy_from(tensor, 0, target);
    default:
      throw tensor_error(tensor, "expected real numbers, integers or booleans, found ", dtype_name(tensor.dtype));
  }
}

}  // namespace detail

/// Tokens from a tensor [N, d] of real numbers, integers or booleans (0 or 1), as `tokens_from`, rounded to S. Throws
/// FileError for elements of other dtypes.
template <Scalar S>
[[nodiscard]] Matrix<S> tokens_from_numbers(const Tensor& tensor) {
  Matrix<S> tokens = detail::tokens_of_shape<S>(tensor);
  detail::copy_numbers(tensor, std::span<S>(tokens.data(), static_cast<std::size_t>(tokens.size())));
  return tokens;
}

/// A matrix from a tensor [rows, columns].
template <Scalar S>
[[nodiscard]] RowMajorMatrix<S> matrix_from(const Tensor& tensor) {
  detail::check_rank(tensor, 2);
  static_cast<void>(detail::element_count(tensor));
  RowMajorMatrix<S> matrix(tensor.shape[0], tensor.shape[1]);
  copy_values(tensor, std::span<S>(matrix.data(), static_cast<std::size_t>(matrix.size())));
  return matrix;
}

/// A vector from a tensor [n].
template <Scalar S>
[[nodiscard]] Vector<S> vector_from(const Tensor& tensor) {
  detail::check_rank(tensor, 1);
  static_cast<void>(detail::element_count(tensor));
  Vector<S> vector(tensor.shape[0]);
  copy_values(tensor, std::span<S>(vector.data(), static_cast<std::size_t>(vector.size())));
  return vector;
}

/// The number in a tensor of one element, whatever its shape.
template <Scalar S>
[[nodiscard]] S scalar_from(const Tensor& tensor) {
  S value;
  copy_values(tensor, std::span<S>(&value, 1));
  return value;
}

/// The elements of a tensor of integers or booleans (0 or 1), row-major. Throws FileError for another dtype.
[[nodiscard]] inline std::vector<std::int64_t> integers_from(const Tensor& tensor) {
  const auto copied = [&]<class Stored>(Stored) {
    std::vector<std::int64_t> integers(detail::element_count(tensor));
    detail::copy_elements<Stored>(tensor.bytes, std::span(integers));
    return integers;
  };
  switch (tensor.dtype) {
    case Dtype::i64:
      return copied(std::int64_t{});
    case Dtype::i32:
      return copied(std::int32_t{});
    case Dtype::i16:
      return copied(std::int16_t{});
    case Dtype::i8:
      return copied(std::int8_t{});
    case Dtype::u32:
      return copied(std::uint32_t{});
    case Dtype::u16:
      return copied(std::uint16_t{});
    case Dtype::u8:
      return copied(std::uint8_t{});
    case Dtype::boolean: {
      std::vector<std::int64_t> booleans = copied(std::uint8_t{});
      for (std::int64_t& value : booleans) value = value != 0 ? 1 : 0;
      return booleans;
    }
    default:
      throw tensor_error(tensor, "expected I64, I32, I16, I8, U32, U16, U8 or BOOL, found ", dtype_name(tensor.dtype));
  }
}

namespace detail {

template <class T>
inline constexpr std::optional<Dtype> dtype_of = std::nullopt;
template <>
inline constexpr std::optional<Dtype> dtype_of<double> = Dtype::f64;
template <>
inline constexpr std::optional<Dtype> dtype_of<float> = Dtype::f32;
template <>
inline constexpr std::optional<Dtype> dtype_of<Eigen::half> = Dtype::f16;
template <>
inline constexpr std::optional<Dtype> dtype_of<Eigen::bfloat16> = Dtype::bf16;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::int64_t> = Dtype::i64;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::int32_t> = Dtype::i32;
template <>
inline constexpr std::optional<Dtype> dtype_of<std::uint8_t> = Dtype::u8;
template <>
inline constexpr std::optional<Dtype> dtype_of<bool> = Dtype::boolean;

}  // namespace detail

/// Types of elements from which tensors can be made: double, float, half, bfloat16, 64 and 32 bit
/// integers, bytes, bool.
template <class T>
concept TensorElement = detail::dtype_of<T>
.has_value();

/// A tensor that views these elements, row-major, for writing. Throws ShapeError unless their number is
/// that of the shape.
template <TensorElement T>
[[nodiscard]] Tensor tensor_of(std::string name, std::vector<Index> shape, std::span<const T> elements) {
  const std::span<const std::byte> bytes = std::as_bytes(elements);
  constexpr Dtype dtype = *detail::dtype_of<T>;
  const std::optional<std::size_t> expected = byte_count(dtype, shape);
  if (!expected || *expected != bytes.size())
    throw ShapeError(concatenate("tensor ", quote(name), ": expected as many elements as shape ", shape_text(shape),
                                 " has, found ", elements.size()));
  return {std::move(name), dtype, 0, std::move(shape), bytes, {}};
}

/// A tensor [N, d] that views d x N tokens, for writing: the bytes are the same.
template <Scalar S>
[[nodiscard]] Tensor tokens_tensor(std::string name, const Matrix<S>& tokens) {
  return tensor_of(std::move(name), {tokens.cols(), tokens.rows()},
                   std::span<const S>(tokens.data(), static_cast<std::size_t>(tokens.size())));
}
template <Scalar S>
Tensor tokens_tensor(std::string name, const Matrix<S>&& tokens) = delete;

/// A tensor [rows, columns] that views a matrix, for writing.
template <Scalar S>
[[nodiscard]] Tensor matrix_tensor(std::string name, const RowMajorMatrix<S>& matrix) {
  return tensor_of(std::move(name), {matrix.rows(), matrix.cols()},
                   std::span<const S>(matrix.data(), static_cast<std::size_t>(matrix.size())));
}
template <Scalar S>
Tensor matrix_tensor(std::string name, const RowMajorMatrix<S>&& matrix) = delete;

/// A tensor [n] that views a vector, for writing.
template <Scalar S>
[[nodiscard]] Tensor vector_tensor(std::string name, const Vector<S>& vector) {
  return tensor_of(std::move(name), {vector.size()},
                   std::span<const S>(vector.data(), static_cast<std::size_t>(vector.size())));
}
template <Scalar S>
Tensor vector_tensor(std::string name, const Vector<S>&& vector) = delete;

}  // namespace crate
