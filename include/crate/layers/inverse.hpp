// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

struct InverseOptions {
  Index iterations = 1;  ///< m >= 1

  void check() const {
    check_option(iterations >= 1 && iterations <= 10'000, "1 to 10000 iterations of an inverse", iterations);
  }
};

/// What a layer near the identity was given, from what it made of it: m turns of the fixed-point iteration
///   X_0 = Z,   X_{i+1} = Z + X_i - layer(X_i),
/// which converge to the X with layer(X) = Z where the layer's derivative is nearer to the identity than 1, as that of
/// a small step is. One turn of Z - kappa g(Z) is its mirror, Z + kappa g(Z): the decoder of arXiv 2404.02446.
template <class Inner>
struct Inverse {
  using Scalar = typename Inner::Scalar;
  static constexpr bool is_tokenwise = Tokenwise<Inner>;

  Inner layer;
  InverseOptions options;

  /// Throws OptionError as InverseOptions::check, ShapeError unless the layer hands on as many rows as it takes.
  explicit Inverse(Inner inner, const InverseOptions& inverse_options = {})
      : layer(std::move(inner)), options(inverse_options) {
    static_assert(!ChangesLayout<Inner>, "a layer that is to be inverted must hand on the tokens that it is given");
    options.check();
    check_size("inverse: output dimension of the layer", layer.output_dim(), layer.input_dim());
  }

  struct Tape {
    std::vector<typename detail::TapeOf<Inner>::type> turns;
  };

  static constexpr auto parts() { return std::tuple{part("", &Inverse::layer)}; }

  [[nodiscard]] Index input_dim() const { return layer.input_dim(); }
  [[nodiscard]] Index output_dim() const { return layer.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return "the X with " + layer.formula("X") + " = " + argument;
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return static_cast<double>(options.iterations) * layer.multiply_adds(layout);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_size("inverse: rows of the output", out.rows(), z.rows());
    Workspace::Frame frame(pass.workspace);
    auto image = frame.template matrix<Scalar>(z.rows(), z.cols());
    out = z;
    for (Index turn = 0; turn < options.iterations; ++turn) {
      layer.forward(out, image, pass);
      correct(z, out, image, out, pass);
    }
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    check_size("inverse: rows of the output", out.rows(), z.rows());
    tape.turns.resize(static_cast<std::size_t>(options.iterations));
    Workspace::Frame frame(pass.workspace);
    auto image = frame.template matrix<Scalar>(z.rows(), z.cols());
    out = z;
    for (auto& turn : tape.turns) {
      auto x = pass.keep(z.rows(), z.cols());  // not `out`: the tape views it
      x = out;
      layer.forward(x, image, turn, pass);
      correct(z, x, image, out, pass);
    }
  }

  /// From the last turn to the first: dL/dX_i = g - J(X_i)^T g of g = dL/dX_{i+1}, and every turn adds its g to dL/dZ.
  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent, Inverse& gradient,
                Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto negative = frame.template matrix<Scalar>(z_cotangent.rows(), z_cotangent.cols());
    auto through = frame.template matrix<Scalar>(z_cotangent.rows(), z_cotangent.cols());
    negative = -out_cotangent;
    z_cotangent = out_cotangent;
    for (auto turn = tape.turns.rbegin(); turn != tape.turns.rend(); ++turn) {
      layer.backward(negative, *turn, through, gradient.layer, pass);
      negative -= through;
      z_cotangent -= negative;
    }
  }

 private:
  static void correct(ConstTokens<Scalar> z, ConstTokens<Scalar> x, ConstTokens<Scalar> image, Tokens<Scalar> out,
                      Pass<Scalar>& pass) {
    for_each_columns(z.cols(), pass.threads, [&](Index j, Index n) {
      out.middleCols(j, n) = z.middleCols(j, n) + x.middleCols(j, n) - image.middleCols(j, n);
    });
  }
};

}  // namespace crate
