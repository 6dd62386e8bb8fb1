// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Core>
#include <concepts>

#include "crate/core/matrix.hpp"

namespace crate {

/// The upper half of a float: 8 bits of exponent, 8 of significand. Halves the memory of weights.
using bfloat16 = Eigen::bfloat16;

/// Whether the processor that the program is compiled for multiplies pairs of bfloat16: then weights in bfloat16 are the faster ones, for
/// tokens rounded to it too. Elsewhere tokens stay floats, since rounding them would only take time.
#if defined(__AVX512BF16__)
inline constexpr bool multiplies_bfloat16 = true;
#else
inline constexpr bool multiplies_bfloat16 = false;
#endif

/// What folded weights may be stored as.
template <class W>
concept FoldedWeight = Scalar<W> || std::same_as<W, bfloat16>;

namespace detail {

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
