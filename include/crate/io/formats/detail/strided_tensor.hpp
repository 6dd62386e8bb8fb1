// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "crate/core/pages.hpp"
#include "crate/io/formats/detail/memory_budget.hpp"
#include "crate/io/formats/tensor.hpp"

namespace crate::detail {

/// Bytes of tensors that are not row-major in their file.
using TensorCopies = std::deque<std::unique_ptr<std::byte[]>>;

/// The number of elements from the first to the last in the memory of a tensor without zero dimensions;
/// nothing if it overflows.
[[nodiscard]] inline std::optional<std::uint64_t> reach(std::span<const Index> shape, std::span<const Index> strides) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<Index>::max());
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto steps = static_cast<std::uint64_t>(shape[i]) - 1;
    const auto stride = static_cast<std::uint64_t>(strides[i]);
    if (steps > 0 && stride > (most - last) / steps) return std::nullopt;
    last += steps * stride;
  }
  return last + 1;
}

/// The strides, with 0 for dimensions of one element, whose stride is unused and may be any number.
[[nodiscard]] inline std::vector<Index> taken_strides(std::span<const Index> shape, std::span<const Index> strides) {
  std::vector<Index> taken(strides.begin(), strides.end());
  for (std::size_t i = 0; i < taken.size(); ++i)
    if (shape[i] == 1) taken[i] = 0;
  return taken;
}

[[nodiscard]] inline bool is_row_major(std::span<const Index> shape, std::span<const Index> strides) {
  Index packed = 1;
  for (std::size_t i = shape.size(); i > 0; --i) {
    if (shape[i - 1] != 1 && strides[i - 1] != packed) return false;
    packed *= shape[i - 1];
  }
  return true;
}

/// target = the elements of `Size` bytes from `first` on, in row-major order.
template <std::size_t Size>
void gather_elements(const std::byte* first, std::span<const Index> shape, std::span<const Index> strides,
                     std::byte* target) {
  const std::size_t last = shape.size() - 1;
  std::vector<Index> position(shape.size(), 0);
  for (Index offset = 0;;) {
    for (Index i = 0; i < shape[last]; ++i, target += Size)
      std::memcpy(target, first + (offset + i * strides[last]) * static_cast<Index>(Size), Size);
    std::size_t dimension = last;
    for (; dimension > 0; --dimension) {
      offset += strides[dimension - 1];
      if (++position[dimension - 1] < shape[dimension - 1]) break;
      offset -= shape[dimension - 1] * strides[dimension - 1];
      position[dimension - 1] = 0;
    }
    if (dimension == 0) return;
  }
}

inline void gather_elements(std::size_t size, const std::byte* first, std::span<const Index> shape,
                            std::span<const Index> strides, std::byte* target) {
  switch (size) {
    case 1:
      return gather_elements<1>(first, shape, strides, target);
    case 2:
      return gather_elements<2>(first, shape, strides, target);
    case 4:
      return gather_elements<4>(first, shape, strides, target);
    default:
      return gather_elements<8>(first, shape, strides, target);
  }
}

/// Sets the bytes of a tensor that views `storage` from element `offset` on, with `strides` in elements: in place if
/// they are row-major, otherwise as a copy in `copies`. Throws FileError if the tensor exceeds the storage.
inline void set_strided_bytes(Tensor& tensor, std::span<const std::byte> storage, std::uint64_t offset,
                              std::span<const Index> strides, TensorCopies& copies, MemoryBudget& budget) {
  const std::optional<std::size_t> size = byte_count(tensor.dtype, tensor.shape);
  if (!size) throw tensor_error(tensor, "expected fewer than 2^60 bytes, found shape ", shape_text(tensor.shape));
  if (*size == 0) return;

  const auto element = static_cast<std::size_t>(dtype_bits(tensor.dtype)) / 8;
  const std::uint64_t count = storage.size() / element;
  const std::optional<std::uint64_t> needed = reach(tensor.shape, strides);
  if (!needed || offset > count || *needed > count - offset)
    throw tensor_error(tensor, "expected to lie within the ", count, " elements of its storage, found shape ",
                       shape_text(tensor.shape), " with strides ", shape_text(strides), " from element ", offset);
  const std::span<const std::byte> rest = storage.subspan(static_cast<std::size_t>(offset) * element);
  if (is_row_major(tensor.shape, strides)) {
    tensor.bytes = rest.first(*size);
    return;
  }
  budget.take(*size);
  copies.push_back(std::make_unique_for_overwrite<std::byte[]>(*size));
  provide_pages(copies.back().get(), *size);
  gather_elements(element, rest.data(), tensor.shape, taken_strides(tensor.shape, strides), copies.back().get());
  tensor.bytes = {copies.back().get(), *size};
}

}  // namespace crate::detail
