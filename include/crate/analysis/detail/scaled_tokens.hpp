// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

namespace crate::detail {

/// Tokens times the power of two 2^-exponent that brings their largest coordinate between 1/2 and 1. Exact, except for
/// coordinates that are negligible compared with the largest; squares neither overflow nor underflow.
template <Scalar S>
struct ScaledTokens {
  Matrix<S> tokens;
  int exponent = 0;
};

/// Throws PrecisionError if tokens are not finite. Tokens that are all zero stay unchanged.
template <Scalar S>
[[nodiscard]] ScaledTokens<S> scaled_tokens(Matrix<S> tokens) {
  check_finite("tokens", tokens);
  ScaledTokens<S> result;
  std::frexp(tokens.cwiseAbs().maxCoeff(), &result.exponent);
  const int back = -result.exponent;
  result.tokens = tokens.unaryExpr([back](S x) { return std::ldexp(x, back); });
  return result;
}

}  // namespace crate::detail
