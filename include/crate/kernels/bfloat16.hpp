// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Core>
#include <concepts>
#include <cstdint>

#include "crate/core/matrix.hpp"
#include "crate/kernels/instruction_set.hpp"

namespace crate {

/// The upper half of a float: 8 bits of exponent, 8 of significand. Halves the memory of weights.
using bfloat16 = Eigen::bfloat16;

/// What folded weights may be stored as.
template <class W>
concept FoldedWeight = Scalar<W> || std::same_as<W, bfloat16>;

namespace detail {

/// Two neighbours, the first in the lower half.
using BfloatPair = std::uint32_t;

/// Whether bfloat16 weights multiply tokens that are rounded to bfloat16 too, by dot products of pairs. Elsewhere
/// tokens stay floats, and weights are widened to floats on their way.
[[nodiscard]] constexpr bool multiplies_bfloat16(InstructionSet set) { return set == InstructionSet::avx512_bfloat16; }

template <FoldedWeight W>
struct ScalarBesides {
  using type = W;
};
template <>
struct ScalarBesides<bfloat16> {
  using type = float;
};

}  // namespace detail

/// What is computed with beside weights W: sums, norms, attention and the tokens between layers. float for bfloat16.
template <FoldedWeight W>
using ScalarOf = typename detail::ScalarBesides<W>::type;

}  // namespace crate
