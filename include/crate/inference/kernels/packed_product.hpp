// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/inference/kernels/packed_weights.hpp"

namespace crate::detail {

/// Columns in memory, `stride` numbers apart.
template <class T>
struct Columns {
  T* first = nullptr;
  Index stride = 0;

  [[nodiscard]] T* at(Index row, Index column) const { return first + column * stride + row; }
};

/// The columns of a matrix in memory.
template <class M>
[[nodiscard]] auto columns_of(M& matrix) {
  return Columns<std::remove_pointer_t<decltype(matrix.data())>>{matrix.data(), matrix.outerStride()};
}

enum class Activation {
  none,            ///< x
  relu,            ///< max(x, 0)
  soft_threshold,  ///< sign(x) max(|x| - level, 0)
};

/// What becomes of a product P before it is stored: activation(column_scale_j P_ij + shift_i + addend_ij). Null pointers are left out.
/// The addend may be kept as bfloat16.
template <Scalar S, class Kept = S>
struct Epilogue {
  const S* shift = nullptr;         ///< for every row, and zeros up to whole vectors of rows
  const S* column_scale = nullptr;  ///< for every column
  Columns<const Kept> addend = {};  ///< as large as the product
  Activation activation = Activation::none;
  S level = 0;
};

template <class V>
[[gnu::always_inline]] inline V activated(const V& x, Activation activation, ElementOf<V> level) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x < V{} ? V{} : x;  // not a number stays one
    case Activation::soft_threshold:
      return x - larger(smaller(x, V{} + level), V{} - level);
  }
  return x;
}

/// The first `count` of the numbers to where tokens are kept; if that is as bfloat16, rounded, and a whole number of pairs of them.
template <class V, class Out>
[[gnu::always_inline]] inline void store_rounded(const V& numbers, Out* to, Index count) {
  if constexpr (std::same_as<Out, bfloat16>) {
    using Halves = Simd<std::uint16_t, sizeof(V) / 2>;
    store_first(__builtin_convertvector(rounded_to_bfloat16<sizeof(V)>(numbers), Halves), to, round_up(count, 2));
  } else {
    if (count == lanes_of<V>)
      store(numbers, to);
    else
      store_first(numbers, to, count);
  }
}

/// The first `count` numbers where tokens are kept, zeros after them.
template <class V, class Kept>
[[gnu::always_inline]] inline V load_kept(const Kept* from, Index count) {
  if constexpr (std::same_as<Kept, bfloat16>) {
    using Halves = Simd<std::uint16_t, sizeof(V) / 2>;
    using Bits = Simd<std::uint32_t, sizeof(V)>;
    Halves halves{};
    std::memcpy(&halves, from, static_cast<std::size_t>(count) * sizeof(Kept));
    return std::bit_cast<V>(__builtin_convertvector(halves, Bits) << 16U);
  } else {
    return load_first<V>(from, count);
  }
}

/// Stores the tile of a product that begins at (row, col) and holds rows x cols sums, columns `Tiles::rows` apart.
template <class A, class Kept, class Out>
void finish_tile(const typename A::Scalar* sums, Index row, Index rows, Index col, Index cols,
                 const Epilogue<typename A::Scalar, Kept>& epilogue, Columns<Out> out) {
  using V = typename A::Sums;
  constexpr Index lanes = lanes_of<V>;
  for (Index j = 0; j < cols; ++j)
    for (Index i = 0; i < rows; i += lanes) {
      const Index count = std::min(lanes, rows - i);
      V x = load<V>(sums + j * Tiles<A>::rows + i);
      if (epilogue.column_scale) x *= epilogue.column_scale[col + j];
      if (epilogue.shift) x += load<V>(epilogue.shift + row + i);
      if (epilogue.addend.first) x += load_kept<V>(epilogue.addend.at(row + i, col + j), count);
      store_rounded(activated(x, epilogue.activation, epilogue.level), out.at(row + i, col + j), count);
    }
}

/// out = activation(column_scale .* (W X) + shift + addend) for `cols` columns of X, each of weights.depth() units. Pieces are a panel
/// of rows by a block of columns small enough for the second cache; an entry is the same sum however the work is cut. The addend may
/// lie where the output goes.
template <FoldedWeight W, int bytes, class Kept, class Out>
void multiply_packed(const PackedWeights<W, bytes>& weights, Columns<const typename Arithmetic<W, bytes>::Unit> x,
                     Index cols, const Epilogue<ScalarOf<W>, Kept>& epilogue, Columns<Out> out, Threads& threads) {
  using A = Arithmetic<W, bytes>;
  using T = Tiles<A>;
  constexpr Index largest_block = 128;
  const Index blocks = (cols + largest_block - 1) / largest_block;
  const Index block_cols = round_up((cols + blocks - 1) / std::max<Index>(blocks, 1), T::columns);
  threads.for_each(weights.panels() * blocks, [&](Index piece, int) {
    alignas(64) ScalarOf<W> sums[static_cast<std::size_t>(T::rows * T::columns)];
    const Index panel = piece % weights.panels(), row = panel * T::rows;
    const Index rows = std::min(T::rows, weights.rows() - row), vectors = weights.vectors(panel);
    const Index first = piece / weights.panels() * block_cols, last = std::min(first + block_cols, cols);
    for (Index col = first; col < last; col += T::columns) {
      const Index n = std::min<Index>(T::columns, last - col);
      T::kernel(vectors, n)(weights.panel(panel), vectors * T::lanes, weights.depth(), x.at(0, col), x.stride, sums,
                            T::rows);
      finish_tile<A>(sums, row, rows, col, n, epilogue, out);
    }
  });
}

}  // namespace crate::detail
