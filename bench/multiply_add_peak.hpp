// SPDX-License-Identifier: MIT
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <limits>
#include <map>
#include <type_traits>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/detail/targets.hpp"
#include "crate/kernels/packed_weights.hpp"

namespace crate::bench {

/// The micro-kernel's multiply-adds on a tile that stays in the first cache, of numbers like a model's: as fast as the
/// processor goes on the instruction set in use. With bfloat16 by dot products of pairs; these are multiplied as floats
/// where there are none.
template <FoldedWeight W>
class CachedTile {
 public:
  explicit CachedTile(Threads& threads) : threads_(threads) {
    Random random(1);
    for (detail::UnitOf<W>& unit : panel_) unit = draw(random);
    for (detail::UnitOf<W>& unit : columns_) unit = draw(random);
  }

  void multiply() {
    detail::with_kernels(set_, [&]<class K>(K) {
      if constexpr (K::has_bfloat16 || !std::same_as<W, bfloat16>)
        multiply<typename K::template Arithmetic<W>, typename K::template Tiles<typename K::template Arithmetic<W>>>();
    });
  }
  [[nodiscard]] double flops() const {
    return 2.0 * static_cast<double>(rows_ * columns() * depth * detail::values_per_unit<W> * calls * threads_.count());
  }

 private:
  template <class A, class T>
  void multiply() const {
    threads_.for_each(threads_.count(), [&](Index, int) {
      alignas(64) typename A::Scalar sums[static_cast<std::size_t>(T::rows * T::columns)];
      for (int call = 0; call < calls; ++call) {
        T::kernel(T::vectors, T::columns)(panel_.data(), T::rows, depth, columns_.data(), depth, sums, T::rows);
        benchmark::DoNotOptimize(sums);
      }
    });
  }

  static detail::UnitOf<W> draw(Random& random) {
    const double numbers[] = {random.normal(), random.normal()};
    return detail::packed_unit<W>(0, 2, [&](Index i) { return numbers[i]; });
  }
  [[nodiscard]] Index columns() const { return detail::tile_shape(detail::vector_bytes(set_)).columns; }

  static constexpr Index depth = 96;
  static constexpr int calls = 4000;

  Threads& threads_;
  InstructionSet set_ = instruction_set();
  Index rows_ = detail::tile_rows(set_, sizeof(detail::UnitOf<W>));
  std::vector<detail::UnitOf<W>> panel_ = std::vector<detail::UnitOf<W>>(static_cast<std::size_t>(rows_ * depth));
  std::vector<detail::UnitOf<W>> columns_ = std::vector<detail::UnitOf<W>>(static_cast<std::size_t>(columns() * depth));
};

/// The most flops in a second, two a multiply-add, that so many threads reach together; best of many trials that are
/// short enough to run undisturbed now and then on a busy machine.
template <FoldedWeight W>
[[nodiscard]] double multiply_add_peak(int threads) {
  static std::map<int, double> measured;
  if (const auto known = measured.find(threads); known != measured.end()) return known->second;
  constexpr int trials = 150;
  Threads team(threads);
  CachedTile<W> tile(team);
  double best = std::numeric_limits<double>::infinity();
  for (int trial = 0; trial < trials; ++trial) {
    const auto start = std::chrono::steady_clock::now();
    tile.multiply();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return measured[threads] = tile.flops() / best;
}

}  // namespace crate::bench
