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

/// W Z, where row k of W is v_k / ||v_k||: a linear map without a bias whose rows have length 1, or the gain 1, fixed.
/// Only the directions of the rows of V are learnt. A row of zeros gives 0.
/// Source: arXiv 1602.07868; the last layer of DINO, arXiv 2104.14294.
template <crate::Scalar S>
struct WeightNormalisedLinear {
  using Scalar = S;
  static constexpr bool is_tokenwise = true;

  RowMajorMatrix<S> directions;  ///< V, output x input

  struct Tape {
    Kept<S> tokens;   ///< Z: dL/dV is a product with it
    Kept<S> results;  ///< W Z: what of dL/dW lies along W is lost
  };

  /// All zero. Throws OptionError unless both dimensions are positive.
  WeightNormalisedLinear(Index input_dim, Index output_dim) {
    check_option(input_dim >= 1, "weight-normalised map: input dimension >= 1", input_dim);
    check_option(output_dim >= 1, "weight-normalised map: output dimension >= 1", output_dim);
    set_zero(directions, output_dim, input_dim);
  }

  static constexpr auto parts() { return std::tuple{part("directions", &WeightNormalisedLinear::directions)}; }

  [[nodiscard]] Index input_dim() const { return directions.cols(); }
  [[nodiscard]] Index output_dim() const { return directions.rows(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "W " + as_factor(argument); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return static_cast<double>(directions.size()) * static_cast<double>(layout.tokens());
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("weight-normalised map: rows of the tokens", z.rows(), input_dim());
    multiply(directions, z, out, pass.threads);
    out = factors().asDiagonal() * out;
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    forward(z, out, pass);
    tape = {z, out};
  }

  /// With G = dL/dout and u_k = g_k / ||v_k||: dL/dZ = V^T U, and dL/dv_k += u_k Z^T - <g_k, out_k> v_k / ||v_k||^2.
  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, WeightNormalisedLinear& gradient,
                Pass<S>& pass) const {
    const Vector<S> by_length = factors();
    Workspace::Frame frame(pass.workspace);
    auto u = frame.template matrix<S>(out_cotangent.rows(), out_cotangent.cols());
    u = by_length.asDiagonal() * out_cotangent;
    multiply(directions.transpose(), u, z_cotangent, pass.threads);
    multiply_add(1, u, tape.tokens.view().transpose(), gradient.directions, pass.threads);
    const Vector<S> along = out_cotangent.cwiseProduct(tape.results.view()).rowwise().sum();
    gradient.directions -= (along.array() * by_length.array().square()).matrix().asDiagonal() * directions;
  }

  /// Uniform within 1 / sqrt(input dimension), as PyTorch does.
  void initialise(Random& random) {
    const double bound = 1 / std::sqrt(static_cast<double>(input_dim()));
    random.fill_uniform(directions, -bound, bound);
  }

 private:
  /// 1 / ||v_k||.
  [[nodiscard]] Vector<S> factors() const {
    return directions.rowwise().norm().unaryExpr([](S length) { return length > 0 ? 1 / length : S(0); });
  }
};

}  // namespace crate
