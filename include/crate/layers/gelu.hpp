// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>

#include "crate/core/errors.hpp"
#include "crate/kernels/gelu.hpp"
#include "crate/kernels/gelu_form.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// GELU of every coordinate: x Phi(x), or its tanh form. See kernels/gelu_form.hpp.
template <crate::Scalar S>
struct Gelu {
  using Scalar = S;
  static constexpr bool is_tokenwise = true;

  Index dim;  ///< d
  GeluForm form = GeluForm::exact;

  struct Tape {
    Kept<S> tokens;  ///< Z, at which the derivative is taken
  };

  static constexpr auto parts() { return std::tuple{}; }

  [[nodiscard]] Index input_dim() const { return dim; }
  [[nodiscard]] Index output_dim() const { return dim; }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "GELU(" + argument + ")"; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("GELU: rows of the output", out.rows(), z.rows());
    detail::gelu_into<S>(detail::columns_of(z), z.rows(), z.cols(), form, detail::columns_of(out), pass.threads);
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    forward(z, out, pass);
    tape = {z};
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, Gelu&, Pass<S>& pass) const {
    const auto z = tape.tokens.view();
    detail::gelu_adjoint_into<S>(detail::columns_of(z), detail::columns_of(out_cotangent), z.rows(), z.cols(), form,
                                 detail::columns_of(z_cotangent), pass.threads);
  }
};

}  // namespace crate
