// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "crate/core/dropout.hpp"
#include "crate/core/random.hpp"

namespace crate::test {

/// Dropout of a matrix by its definition: number after number, column after column, each is replaced by 0 if what is
/// drawn for it is below the threshold, else by itself / (1 - probability).
template <class M>
void plain_drop(const DropoutStream& stream, std::uint64_t place, Index set, Index part, double probability,
                M&& matrix) {
  using S = typename std::decay_t<M>::Scalar;
  const auto kept = static_cast<S>(1 / (1 - probability));
  detail::DropoutDraws draws(stream, place, set, part);
  std::array<std::uint32_t, 4> words{};
  std::uint32_t drawn = 0;
  for (Index j = 0; j < matrix.cols(); ++j)
    for (Index i = 0; i < matrix.rows(); ++i, ++drawn) {
      draws.counter[0] = drawn / 4;
      if (drawn % 4 == 0) words = philox(draws.counter, draws.key);
      matrix(i, j) = words[drawn % 4] < detail::dropout_threshold(probability) ? S(0) : matrix(i, j) * kept;
    }
}

}  // namespace crate::test
