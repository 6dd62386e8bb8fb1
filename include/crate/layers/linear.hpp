// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <tuple>

#include "crate/core/errors.hpp"
#include "crate/core/pages.hpp"
#include "crate/core/random.hpp"
#include "crate/kernels/product.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

namespace detail {

/// The gradient of a bias: gradient += dL/dout 1.
template <crate::Scalar S>
void add_row_sums(ConstTokens<S> out_cotangent, Vector<S>& gradient, Pass<S>& pass) {
  constexpr Index piece_rows = 64;
  pass.threads.for_each_range(gradient.size(), piece_rows, [&](Index first, Index count, int) {
    for (Index j = 0; j < out_cotangent.cols(); ++j)
      gradient.segment(first, count) += out_cotangent.col(j).segment(first, count);
  });
}

}  // namespace detail

/// W Z + b 1^T; without a bias where `bias` is empty.
template <crate::Scalar S>
struct Linear {
  using Scalar = S;
  static constexpr bool is_tokenwise = true;
  static constexpr bool frees_output = true;

  RowMajorMatrix<S> weight;  ///< W, output x input
  Vector<S> bias;            ///< b, output, or empty

  struct Tape {
    Kept<S> tokens;  ///< Z: dL/dW is a product with it
  };

  /// All zero. Throws OptionError unless both dimensions are positive.
  Linear(Index input_dim, Index output_dim, bool with_bias = true) {
    check_option(input_dim >= 1, "linear map: input dimension >= 1", input_dim);
    check_option(output_dim >= 1, "linear map: output dimension >= 1", output_dim);
    set_zero(weight, output_dim, input_dim);
    if (with_bias) bias.setZero(output_dim);
  }

  static constexpr auto parts() { return std::tuple{part("weight", &Linear::weight), part("bias", &Linear::bias)}; }

  [[nodiscard]] Index input_dim() const { return weight.cols(); }
  [[nodiscard]] Index output_dim() const { return weight.rows(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return "W " + as_factor(argument) + (bias.size() != 0 ? " + b" : "");
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return static_cast<double>(weight.size()) * static_cast<double>(layout.tokens());
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("linear map: rows of the tokens", z.rows(), input_dim());
    check_size("linear map: rows of the output", out.rows(), output_dim());
    if (bias.size() != 0) check_size("linear map: bias", bias.size(), output_dim());
    multiply(weight, z, out, {.shift = bias.size() != 0 ? bias.data() : nullptr}, pass.threads);
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    forward(z, out, pass);
    tape = {z};
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, Linear& gradient,
                Pass<S>& pass) const {
    backward(out_cotangent, tape, gradient, pass);
    multiply(weight.transpose(), out_cotangent, z_cotangent, pass.threads);
  }

  /// Where nobody asks dL/dZ.
  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Linear& gradient, Pass<S>& pass) const {
    multiply_add(1, out_cotangent, tape.tokens.view().transpose(), gradient.weight, pass.threads);
    if (bias.size() != 0) detail::add_row_sums(out_cotangent, gradient.bias, pass);
  }

  /// Uniform within 1 / sqrt(input dimension), weight and bias, as PyTorch does.
  void initialise(Random& random) {
    const double bound = 1 / std::sqrt(static_cast<double>(input_dim()));
    random.fill_uniform(weight, -bound, bound);
    random.fill_uniform(bias, -bound, bound);
  }
};

}  // namespace crate
