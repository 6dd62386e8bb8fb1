// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/workspace.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/epilogue.hpp"
#include "crate/kernels/packed_weights.hpp"
#include "crate/kernels/views.hpp"

// Products of packed weights.

namespace crate::detail {

/// How a product of so many panels, and columns of so many bytes, is cut into pieces: a panel by a block of columns, a
/// multiple of `tile_cols` wide. A block's columns stay in a second cache of 1 MiB while the panels pass, but for deep
/// ones, where the panels should; and there are two pieces a thread where the columns suffice.
[[nodiscard]] inline Index columns_of_piece(Index panels, Index cols, Index column_bytes, Index tile_cols,
                                            int threads) {
  constexpr Index cache_share = 640 << 10, deep_columns = 128;
  const Index largest = std::max(deep_columns, cache_share / std::max<Index>(column_bytes, 1));
  const Index for_cache = (cols + largest - 1) / largest, for_threads = (2 * Index{threads} + panels - 1) / panels;
  const Index blocks = std::max(for_cache, for_threads);
  return round_up((cols + blocks - 1) / blocks, tile_cols);
}

/// Tokens in bfloat16, an even number of coordinates apart, as pairs.
[[nodiscard]] inline Columns<const BfloatPair> pairs_of(Columns<const bfloat16> x) {
  return {reinterpret_cast<const BfloatPair*>(x.first), x.stride / 2};
}

/// Calls body(panel, first column, last column, worker) for pieces that cover a product of so many panels and columns.
template <class Body>
void for_each_piece(Index panels, Index cols, Index column_bytes, InstructionSet set, Threads& threads,
                    const Body& body) {
  if (panels == 0 || cols == 0) return;
  const Index tile_cols = tile_shape(vector_bytes(set)).columns;
  const Index piece_cols = columns_of_piece(panels, cols, column_bytes, tile_cols, threads.count());
  threads.for_each(panels * ((cols + piece_cols - 1) / piece_cols), [&](Index piece, int worker) {
    const Index first = piece / panels * piece_cols;
    body(piece % panels, first, std::min(first + piece_cols, cols), worker);
  });
}

template <FoldedWeight W, class Body>
void for_each_piece(const PackedWeights<W>& weights, Index cols, Index column_bytes, Threads& threads,
                    const Body& body) {
  for_each_piece(weights.panels(), cols, column_bytes, weights.instruction_set(), threads, body);
}

/// The numbers of room for a panel that is widened to floats, with a gap up to the next thread's.
[[nodiscard]] inline Index widened_room(const PackedWeights<bfloat16>& weights) {
  return round_up(2 * weights.depth() * weights.panel_rows() + numbers_ahead(weights.panel_rows(), sizeof(float)), 16);
}

/// The bytes of workspace that multiply_packed takes.
template <FoldedWeight W>
[[nodiscard]] std::size_t product_room(const PackedWeights<W>& weights, int threads) {
  if constexpr (std::same_as<W, bfloat16>)
    return Workspace::room<float>(widened_room(weights) * threads);
  else
    return 0;
}

/// The steps along the depth of a column that can add something to a product, where they are few enough that skipping
/// the others pays: memory is read in longer runs than a step's.
class StepsOfColumn {
 public:
  template <class Column>
  StepsOfColumn(const Column* x, Index depth) {
    if (depth > most_steps) return;
    std::size_t count = 0;
    for (Index k = 0; k < depth; ++k) {
      steps_[count] = static_cast<std::int32_t>(k);
      count += is_zero(x[k]) ? 0U : 1U;
    }
    if (static_cast<double>(count) > largest_share * static_cast<double>(depth)) return;
    std::fill_n(steps_.begin() + static_cast<std::ptrdiff_t>(count), listed_steps_ahead, std::int32_t{0});
    few_ = std::span<const std::int32_t>(steps_).first(count);
  }
  StepsOfColumn(const StepsOfColumn&) = delete;
  StepsOfColumn& operator=(const StepsOfColumn&) = delete;

  /// Nothing, if they are not few.
  [[nodiscard]] const std::optional<std::span<const std::int32_t>>& few() const { return few_; }

 private:
  static constexpr Index most_steps = 8192;
  static constexpr double largest_share = 1.0 / 3;

  template <class Column>
  static bool is_zero(Column number) {
    if constexpr (std::same_as<Column, BfloatPair>)
      return (number & 0x7FFF7FFFU) == 0;  // both of a pair, whatever their signs
    else
      return number == 0;
  }

  std::array<std::int32_t, static_cast<std::size_t>(most_steps + listed_steps_ahead)> steps_;
  std::optional<std::span<const std::int32_t>> few_;
};

/// A product of packed weights by kernels K and arithmetic A. What zeros of a single column would multiply is not read,
/// where they are many; weights are finite.
template <class K, class A, FoldedWeight W, class Kept, class Out>
void multiply_panels(const PackedWeights<W>& weights, Columns<const typename A::Column> x, Index cols,
                     const Epilogue<typename A::Scalar, Kept>& epilogue, Columns<Out> out, Threads& threads) {
  if (cols == 1) {
    const StepsOfColumn steps(x.first, weights.depth());
    if (steps.few())
      return threads.for_each(weights.panels(), [&](Index panel, int) {
        K::template multiply_panel_by_steps<A>(weights.panel(panel), *steps.few(), panel * weights.panel_rows(),
                                               weights.rows_of(panel), x.first, epilogue, out);
      });
  }
  const auto body = [&](Index panel, Index first, Index last, int) {
    K::template multiply_panel<A>(weights.panel(panel), weights.depth(), panel * weights.panel_rows(),
                                  weights.rows_of(panel), x, first, last, epilogue, out);
  };
  for_each_piece(weights, cols, weights.depth() * Index{sizeof(typename A::Column)}, threads, body);
}

/// out = activation(column_scale .* (W X) + shift + addend) for `cols` columns of X. Tokens in bfloat16 are read up to
/// a whole number of pairs. An entry is the same sum however the work is cut into pieces. The addend may lie where the
/// output goes.
template <Scalar W, class Kept, class Out>
void multiply_packed(const PackedWeights<W>& weights, Columns<const W> x, Index cols, const Epilogue<W, Kept>& epilogue,
                     Columns<Out> out, Workspace&, Threads& threads) {
  with_kernels(weights.instruction_set(), [&]<class K>(K) {
    multiply_panels<K, typename K::template Arithmetic<W>>(weights, x, cols, epilogue, out, threads);
  });
}

/// With tokens kept as floats: a piece widens its panel first.
template <class Kept, class Out>
void multiply_packed(const PackedWeights<bfloat16>& weights, Columns<const float> x, Index cols,
                     const Epilogue<float, Kept>& epilogue, Columns<Out> out, Workspace& workspace, Threads& threads) {
  Workspace::Frame frame(workspace);
  const Index room = widened_room(weights);
  float* const rooms = frame.array<float>(room * threads.count());
  with_kernels(weights.instruction_set(), [&]<class K>(K) {
    const auto body = [&](Index panel, Index first, Index last, int worker) {
      K::multiply_panel_widening(weights.panel(panel), weights.cols(), panel * weights.panel_rows(),
                                 weights.rows_of(panel), x, first, last, epilogue, out, rooms + worker * room);
    };
    for_each_piece(weights, cols, weights.cols() * Index{sizeof(float)}, threads, body);
  });
}

/// With tokens kept as bfloat16, for instruction sets that multiply these.
template <class Kept, class Out>
void multiply_packed(const PackedWeights<bfloat16>& weights, Columns<const bfloat16> x, Index cols,
                     const Epilogue<float, Kept>& epilogue, Columns<Out> out, Workspace&, Threads& threads) {
  with_kernels(weights.instruction_set(), [&]<class K>(K) {
    if constexpr (K::has_bfloat16)
      multiply_panels<K, typename K::template Arithmetic<bfloat16>>(weights, pairs_of(x), cols, epilogue, out, threads);
  });
}

}  // namespace crate::detail

#ifdef CRATE_COMPILED_KERNELS
#define CRATE_INSTANCE extern template
#include "crate/kernels/detail/packed_product_instances.ipp"
#undef CRATE_INSTANCE
#endif
