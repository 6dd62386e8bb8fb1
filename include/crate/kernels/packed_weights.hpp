// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "crate/core/matrix.hpp"
#include "crate/core/pages.hpp"
#include "crate/core/shared_pages.hpp"
#include "crate/kernels/bfloat16.hpp"
#include "crate/kernels/tile_shape.hpp"
#include "crate/kernels/views.hpp"

namespace crate::detail {

/// What a row of weights gives to a step of the micro-kernel: a number, or in bfloat16 two neighbours.
template <FoldedWeight W>
using UnitOf = std::conditional_t<std::same_as<W, bfloat16>, BfloatPair, W>;

template <FoldedWeight W>
inline constexpr Index values_per_unit = std::same_as<W, bfloat16> ? 2 : 1;

/// One row's share of a step: W's number at `k`, or in bfloat16 the numbers at 2 k and 2 k + 1. Beyond the last stands
/// 0.
template <FoldedWeight W, class Number>
[[nodiscard]] UnitOf<W> packed_unit(Index k, Index count, const Number& number) {
  if constexpr (std::same_as<W, bfloat16>) {
    const auto bits = [&](Index i) {
      const auto value = i < count ? static_cast<float>(number(i)) : 0.0F;
      return static_cast<BfloatPair>(std::bit_cast<std::uint16_t>(static_cast<bfloat16>(value)));
    };
    return bits(2 * k) | (bits(2 * k + 1) << 16U);
  } else {
    return static_cast<W>(number(k));
  }
}

/// A matrix of fixed weights, arranged for the micro-kernel of an instruction set: panels as high as its tiles, and in
/// each panel the rows' numbers of a step next to each other. Rows beyond the last, up to whole vectors, are 0. Copies
/// share what is never changed. One of 64 KiB to 32 MiB lies in a block of 32 MiB with others, which is freed with the
/// last of them.
template <FoldedWeight W>
class PackedWeights {
 public:
  using Unit = UnitOf<W>;

  PackedWeights() = default;

  /// Rounds every entry of `weights` once.
  template <class Derived>
  explicit PackedWeights(const Eigen::MatrixBase<Derived>& weights, InstructionSet set = crate::instruction_set())
      : set_(set), rows_(weights.rows()), cols_(weights.cols()) {
    const std::size_t bytes = bytes_of_all();
    std::shared_ptr<std::byte> memory = pages_of_weights().take(bytes);
    auto* const units = reinterpret_cast<Unit*>(memory.get());
    units_ = {std::move(memory), units};
    populate_pages(units, bytes);
    for (Index panel = 0; panel < panels(); ++panel) {
      const Index first = panel * panel_rows(), width = round_up(rows_of(panel), lanes());
      Unit* to = units + first * depth();
      for (Index k = 0; k < depth(); ++k)
        for (Index i = first; i < first + width; ++i)
          *to++ = i < rows_ ? packed_unit<W>(k, cols_, [&](Index j) { return weights(i, j); }) : Unit{};
    }
  }

  [[nodiscard]] InstructionSet instruction_set() const { return set_; }
  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }
  [[nodiscard]] Index depth() const { return (cols_ + values_per_unit<W> - 1) / values_per_unit<W>; }  ///< steps
  [[nodiscard]] Index lanes() const { return lanes_in(set_, sizeof(Unit)); }
  [[nodiscard]] Index panel_rows() const { return tile_rows(set_, sizeof(Unit)); }
  [[nodiscard]] Index panels() const { return (rows_ + panel_rows() - 1) / panel_rows(); }
  [[nodiscard]] Index rows_of(Index panel) const { return std::min(panel_rows(), rows_ - panel * panel_rows()); }
  [[nodiscard]] const Unit* panel(Index index) const { return units_.get() + index * panel_rows() * depth(); }

  /// Of copies, each counts what they share; 0 once moved from.
  [[nodiscard]] std::size_t bytes_held() const { return units_ == nullptr ? 0 : bytes_of_all(); }

 private:
  [[nodiscard]] std::size_t bytes_of_all() const {
    return static_cast<std::size_t>(round_up(rows_, lanes()) * depth()) * sizeof(Unit);
  }

  InstructionSet set_ = InstructionSet::portable;
  Index rows_ = 0, cols_ = 0;
  std::shared_ptr<const Unit> units_;  // begins on a cache line
};

}  // namespace crate::detail
