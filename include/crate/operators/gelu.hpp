// SPDX-License-Identifier: MIT
#pragma once

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/kernels/epilogue.hpp"
#include "crate/kernels/gelu_form.hpp"

namespace crate {

/// GELU of every entry. Of numbers see kernels/gelu_form.hpp.
template <class Derived>
[[nodiscard]] Plain<Derived> gelu(const Eigen::MatrixBase<Derived>& z, GeluForm form = GeluForm::exact) {
  return z.unaryExpr([form](typename Derived::Scalar x) { return gelu(x, form); });
}

/// The adjoint of gelu: cotangent .* GELU'(z). Throws ShapeError unless both have one size.
template <class Derived, class CotangentDerived>
[[nodiscard]] Plain<Derived> gelu_adjoint(const Eigen::MatrixBase<Derived>& z,
                                          const Eigen::MatrixBase<CotangentDerived>& cotangent,
                                          GeluForm form = GeluForm::exact) {
  check_shape("GELU: cotangent", cotangent, z.rows(), z.cols());
  return z.unaryExpr([form](typename Derived::Scalar x) { return gelu_slope(x, form); }).cwiseProduct(cotangent);
}

namespace detail {

[[nodiscard]] constexpr Activation activation_of(GeluForm form) {
  return form == GeluForm::exact ? Activation::gelu : Activation::gelu_tanh;
}

}  // namespace detail

}  // namespace crate
