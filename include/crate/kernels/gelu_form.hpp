// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/matrix.hpp"

namespace crate {

/// Which function GELU is.
enum class GeluForm {
  exact,  ///< x Phi(x), Phi the distribution function of the normal distribution
  tanh,   ///< x (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3): within 5e-4 of it, as published with GPT-2
};

/// GELU(x). Source: arXiv 1606.08415.
template <Scalar S>
[[nodiscard]] S gelu(S x, GeluForm form = GeluForm::exact) {
  if (form == GeluForm::exact) return x * S(0.5) * std::erfc(-x * S(0.70710678118654752440));
  return x * S(0.5) * (1 + std::tanh(S(0.79788456080286535588) * (x + S(0.044715) * x * x * x)));
}

/// Its derivative: Phi(x) + x Phi'(x), or that of the tanh form.
template <Scalar S>
[[nodiscard]] S gelu_slope(S x, GeluForm form = GeluForm::exact) {
  if (form == GeluForm::exact)
    return S(0.5) * std::erfc(-x * S(0.70710678118654752440)) +
           x * S(0.39894228040143267794) * std::exp(-x * x * S(0.5));
  const S t = std::tanh(S(0.79788456080286535588) * (x + S(0.044715) * x * x * x));
  return S(0.5) * (1 + t) + x * S(0.5) * (1 - t * t) * S(0.79788456080286535588) * (1 + S(0.134145) * x * x);
}

}  // namespace crate
