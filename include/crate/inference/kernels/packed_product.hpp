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

template <Activation activation, class V>
[[gnu::always_inline]] inline V activated(const V& x, ElementOf<V> level) {
  if constexpr (activation == Activation::relu)
    return x < V{} ? V{} : x;  // not a number stays one
  else if constexpr (activation == Activation::soft_threshold)
    return x - larger(smaller(x, V{} + level), V{} - level);
  else
    return x;
}

/// The first `count` of the numbers to where tokens are kept; if that is as bfloat16, rounded, and up to a whole number of pairs.
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

/// Finishes `vectors` vectors of rows of a tile, the first `count` rows of each, in all its columns. The product's activation and the
/// count are constants where that pays.
template <Activation activation, int vectors, class V, class Kept, class Out>
[[gnu::always_inline]] inline void finish_rows(const ElementOf<V>* sums, Index sums_stride, Index row, auto count,
                                               Index col, Index cols, const Epilogue<ElementOf<V>, Kept>& epilogue,
                                               Columns<Out> out) {
  constexpr Index lanes = lanes_of<V>;
  Registers<V, vectors> shift = {};
  if (epilogue.shift) unrolled<vectors>([&](auto v) { shift[v] = load<V>(epilogue.shift + row + v * lanes); });
  for (Index j = 0; j < cols; ++j) {
    const auto scale = epilogue.column_scale ? epilogue.column_scale[col + j] : ElementOf<V>(1);
    Registers<V, vectors> x;
    unrolled<vectors>([&](auto v) { x[v] = load<V>(sums + j * sums_stride + v * lanes) * scale + shift[v]; });
    if (epilogue.addend.first)
      unrolled<vectors>([&](auto v) { x[v] += load_kept<V>(epilogue.addend.at(row + v * lanes, col + j), count); });
    unrolled<vectors>([&](auto v) {
      store_rounded(activated<activation>(x[v], epilogue.level), out.at(row + v * lanes, col + j), count);
    });
  }
}

/// Stores the tile of a product that begins at (row, col) and holds rows x cols sums, columns `Tiles::rows` apart.
template <class A, class Kept, class Out>
void finish_tile(const typename A::Scalar* sums, Index row, Index rows, Index col, Index cols,
                 const Epilogue<typename A::Scalar, Kept>& epilogue, Columns<Out> out) {
  using V = typename A::Sums;
  using T = Tiles<A>;
  const auto finish = [&]<Activation activation>() {
    if (rows == T::rows) {
      constexpr std::integral_constant<Index, T::lanes> whole;
      return finish_rows<activation, T::vectors, V>(sums, T::rows, row, whole, col, cols, epilogue, out);
    }
    for (Index i = 0; i < rows; i += T::lanes)
      finish_rows<activation, 1, V>(sums + i, T::rows, row + i, std::min(T::lanes, rows - i), col, cols, epilogue, out);
  };
  switch (epilogue.activation) {
    case Activation::none:
      return finish.template operator()<Activation::none>();
    case Activation::relu:
      return finish.template operator()<Activation::relu>();
    case Activation::soft_threshold:
      return finish.template operator()<Activation::soft_threshold>();
  }
}

/// How a product of so many panels, and columns of so many bytes, is cut into pieces: a panel by a block of columns, a multiple of
/// `tile_cols` wide. A block's columns stay in a second cache of 1 MiB while the panels pass, but for deep ones, where the panels
/// should; and there are two pieces a thread where the columns suffice.
[[nodiscard]] inline Index columns_of_piece(Index panels, Index cols, Index column_bytes, Index tile_cols,
                                            int threads) {
  constexpr Index cache_share = 640 << 10, deep_columns = 128;
  const Index largest = std::max(deep_columns, cache_share / std::max<Index>(column_bytes, 1));
  const Index for_cache = (cols + largest - 1) / largest, for_threads = (2 * Index{threads} + panels - 1) / panels;
  const Index blocks = std::max(for_cache, for_threads);
  return round_up((cols + blocks - 1) / blocks, tile_cols);
}

/// out = activation(column_scale .* (W X) + shift + addend) for `cols` columns of X, each of weights.depth() steps. An entry is the
/// same sum however the work is cut into pieces. The addend may lie where the output goes.
template <FoldedWeight W, int bytes, class Column, class Kept, class Out>
void multiply_packed(const PackedWeights<W, bytes>& weights, Columns<const Column> x, Index cols,
                     const Epilogue<ScalarOf<W>, Kept>& epilogue, Columns<Out> out, Threads& threads) {
  using A = Arithmetic<W, bytes, std::conditional_t<std::same_as<Column, FloatPair>, float, W>>;
  using T = Tiles<A>;
  if (weights.rows() == 0 || cols == 0) return;
  const Index panels = weights.panels(), depth = weights.depth();
  const Index piece_cols = columns_of_piece(panels, cols, depth * Index{sizeof(Column)}, T::columns, threads.count());
  threads.for_each(panels * ((cols + piece_cols - 1) / piece_cols), [&](Index piece, int) {
    alignas(64) ScalarOf<W> sums[static_cast<std::size_t>(T::rows * T::columns)];
    const Index panel = piece % panels, row = panel * T::rows, vectors = weights.vectors(panel);
    const Index rows = std::min(T::rows, weights.rows() - row);
    const Index first = piece / panels * piece_cols, last = std::min(first + piece_cols, cols);
    for (Index col = first; col < last; col += T::columns) {
      const Index n = std::min<Index>(T::columns, last - col);
      T::kernel(vectors, n)(weights.panel(panel), vectors * T::lanes, depth, x.at(0, col), x.stride, sums, T::rows);
      finish_tile<A>(sums, row, rows, col, n, epilogue, out);
    }
  });
}

}  // namespace crate::detail
