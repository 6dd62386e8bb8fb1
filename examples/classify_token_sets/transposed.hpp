// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>

#include "crate/crate.hpp"

/// W^T Z: a layer that views the weight of another, or the gradient of that weight, and has no parameters of its own.
template <class Weight>
struct Transposed {
  using Scalar = typename Weight::Scalar;
  using ConstTokens = crate::ConstTokens<Scalar>;
  using Tokens = crate::Tokens<Scalar>;
  using Pass = crate::Pass<Scalar>;
  using Index = crate::Index;
  static constexpr bool is_tokenwise = true;

  Weight& weight;  ///< W, const unless it is a gradient

  struct Tape {
    crate::Kept<Scalar> tokens;  ///< Z: dL/dW is a product with it
  };

  explicit Transposed(Weight& of_another) : weight(of_another) {}

  static constexpr auto parts() { return std::tuple{}; }

  [[nodiscard]] Index input_dim() const { return weight.rows(); }
  [[nodiscard]] Index output_dim() const { return weight.cols(); }
  [[nodiscard]] std::string formula(const std::string& z) const { return "W^T " + crate::as_factor(z); }
  [[nodiscard]] double multiply_adds(const crate::TokenLayout& layout) const {
    return static_cast<double>(weight.size()) * static_cast<double>(layout.tokens());
  }

  void forward(ConstTokens z, Tokens out, Pass& pass) const {
    crate::check_size("transposed map: rows of the tokens", z.rows(), input_dim());
    crate::multiply(weight.transpose(), z, out, pass.threads);
  }

  void forward(ConstTokens z, Tokens out, Tape& tape, Pass& pass) const {
    forward(z, out, pass);
    tape = {z};
  }

  template <class Gradient>
  void backward(ConstTokens out_cotangent, const Tape& tape, Tokens z_cotangent, Gradient& gradient, Pass& pass) const {
    crate::multiply_add(1, tape.tokens.view(), out_cotangent.transpose(), gradient.weight, pass.threads);
    crate::multiply(weight, out_cotangent, z_cotangent, pass.threads);
  }
};

/// What folding makes of it holds weights of its own, for those it views end with the model that is folded.
template <crate::FoldedWeight W, class Weight>
[[nodiscard]] crate::FoldedLinear<W> folded(crate::detail::Folding<W>, Transposed<Weight> view) {
  return crate::FoldedLinear<W>(crate::AffineMap(view.weight.transpose()));
}
