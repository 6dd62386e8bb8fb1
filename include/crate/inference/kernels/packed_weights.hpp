// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>

#include "crate/core/matrix.hpp"
#include "crate/core/pages.hpp"
#include "crate/inference/kernels/tile.hpp"

namespace crate::detail {

/// One row's share of a step: W's number at `k`, or in bfloat16 the numbers at 2 k and 2 k + 1. Beyond the last stands 0.
template <FoldedWeight W, class Number>
[[nodiscard]] auto packed_unit(Index k, Index count, const Number& number) {
  if constexpr (std::same_as<W, bfloat16>) {
    const auto bits = [&](Index i) {
      const auto value = i < count ? static_cast<float>(number(i)) : 0.0F;
      return static_cast<std::uint32_t>(std::bit_cast<std::uint16_t>(static_cast<bfloat16>(value)));
    };
    return bits(2 * k) | (bits(2 * k + 1) << 16U);
  } else {
    return static_cast<W>(number(k));
  }
}

/// A matrix of fixed weights, arranged for the micro-kernel: panels of `Tiles::rows` rows, and in each panel the rows' numbers of a step
/// next to each other. Rows beyond the last, up to whole vectors, are 0.
template <FoldedWeight W, int bytes = native_vector_bytes>
class PackedWeights {
 public:
  using A = Arithmetic<W, bytes>;
  using T = Tiles<A>;
  using Unit = typename A::Unit;

  PackedWeights() = default;

  /// Rounds every entry of `weights` once.
  template <class Derived>
  explicit PackedWeights(const Eigen::MatrixBase<Derived>& weights)
      : rows_(weights.rows()), cols_(weights.cols()), units_(round_up(rows_, T::lanes) * depth()) {
    provide_pages(units_.data(), bytes_held());
    for (Index panel = 0; panel < panels(); ++panel) {
      const Index first = panel * T::rows, width = vectors(panel) * T::lanes;
      Unit* to = units_.data() + first * depth();
      for (Index k = 0; k < depth(); ++k)
        for (Index i = first; i < first + width; ++i)
          *to++ = i < rows_ ? packed_unit<W>(k, cols_, [&](Index j) { return weights(i, j); }) : Unit{};
    }
  }

  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }
  [[nodiscard]] Index depth() const { return (cols_ + A::values_per_unit - 1) / A::values_per_unit; }  ///< steps
  [[nodiscard]] Index panels() const { return (rows_ + T::rows - 1) / T::rows; }

  /// How many vectors of rows a panel holds.
  [[nodiscard]] Index vectors(Index panel) const {
    return (std::min(T::rows, rows_ - panel * T::rows) + T::lanes - 1) / T::lanes;
  }
  [[nodiscard]] const Unit* panel(Index index) const { return units_.data() + index * T::rows * depth(); }

  [[nodiscard]] std::size_t bytes_held() const { return static_cast<std::size_t>(units_.size()) * sizeof(Unit); }

 private:
  Index rows_ = 0, cols_ = 0;
  Eigen::Array<Unit, Eigen::Dynamic, 1> units_;  // aligned to whole vectors
};

}  // namespace crate::detail
