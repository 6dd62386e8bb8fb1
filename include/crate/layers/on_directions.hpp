// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/unit_columns.hpp"

namespace crate {

struct DirectionOptions {
  double softening = 0;  ///< delta >= 0, a length: tokens far shorter than it count as near to zero, not by direction

  void check() const { check_option(std::isfinite(softening) && softening >= 0, "a finite softening >= 0", softening); }
};

/// The directions of tokens, w_j = z_j / (||z_j||^2 + delta^2)^{1/2}; tokens of zeros stay.
template <class ZDerived>
[[nodiscard]] Plain<ZDerived> directions(const Eigen::MatrixBase<ZDerived>& tokens, double softening = 0) {
  using S = typename ZDerived::Scalar;
  DirectionOptions{.softening = softening}.check();
  Plain<ZDerived> result = tokens;
  for (Index j = 0; j < result.cols(); ++j) {
    const auto length = static_cast<S>(std::hypot(static_cast<double>(result.col(j).stableNorm()), softening));
    if (length != S(0)) result.col(j) /= length;
  }
  return result;
}

/// A layer that acts on directions and leaves every token its length: with w_j = z_j / (||z_j||^2 + delta^2)^{1/2} and
/// V = layer(W), token j becomes ||z_j|| v_j / ||v_j||; a token of zeros stays one. A step on the rate reduction wants
/// tokens of about one length, or it makes long ones longer; see arXiv 2105.10446, where they lie on the sphere.
template <class Inner>
struct OnDirections {
  using Scalar = typename Inner::Scalar;
  static constexpr bool is_tokenwise = Tokenwise<Inner>;

  Inner layer;
  DirectionOptions options;

  /// Throws OptionError as DirectionOptions::check, ShapeError unless the layer hands on as many rows as it takes.
  explicit OnDirections(Inner inner, const DirectionOptions& direction_options = {})
      : layer(std::move(inner)), options(direction_options) {
    static_assert(!ChangesLayout<Inner>, "a layer on directions must hand on the tokens that it is given");
    options.check();
    check_size("layer on directions: output dimension", layer.output_dim(), layer.input_dim());
  }

  struct Tape {
    Kept<Scalar> tokens;   ///< Z
    Kept<Scalar> results;  ///< V
    typename detail::TapeOf<Inner>::type layer;
  };

  static constexpr auto parts() { return std::tuple{part("", &OnDirections::layer)}; }

  [[nodiscard]] Index input_dim() const { return layer.input_dim(); }
  [[nodiscard]] Index output_dim() const { return layer.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return "|" + argument + "| unit(" + layer.formula("unit(" + argument + ")") + ")";
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return layer.multiply_adds(layout); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_size("layer on directions: rows of the output", out.rows(), z.rows());
    Workspace::Frame frame(pass.workspace);
    auto w = frame.template matrix<Scalar>(z.rows(), z.cols());
    find_directions(z, w, pass);
    layer.forward(w, out, pass);
    give_lengths(z, out, out, pass);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    check_size("layer on directions: rows of the output", out.rows(), z.rows());
    auto w = pass.keep(z.rows(), z.cols());
    auto v = pass.keep(z.rows(), z.cols());
    find_directions(z, w, pass);
    layer.forward(w, v, tape.layer, pass);
    tape.tokens = z;
    tape.results = v;
    give_lengths(z, v, out, pass);
  }

  /// With r = ||z||, s = (r^2 + delta^2)^{1/2}, u = v / ||v|| and g = dL/dout, for each token:
  ///   dL/dv = r / ||v|| (g - u u^T g),   dL/dz = (dL/dw - z z^T dL/dw / s^2) / s + u^T g z / r.
  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent, OnDirections& gradient,
                Pass<Scalar>& pass) const {
    const auto z = tape.tokens.view(), v = tape.results.view();
    Workspace::Frame frame(pass.workspace);
    auto v_cotangent = frame.template matrix<Scalar>(z.rows(), z.cols());
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) {
        const Scalar factor = length_factor(detail::length_of(z.col(j)), detail::length_of(v.col(j)));
        const Scalar along = v.col(j).dot(out_cotangent.col(j)) / nonzero(v.col(j).squaredNorm());
        v_cotangent.col(j) = factor * (out_cotangent.col(j) - along * v.col(j));
      }
    });
    layer.backward(v_cotangent, tape.layer, z_cotangent, gradient.layer, pass);
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) {
        const Scalar r = detail::length_of(z.col(j)), s = nonzero(softened(r)),
                     v_norm = nonzero(detail::length_of(v.col(j)));
        const Scalar along = z.col(j).dot(z_cotangent.col(j)) / (s * s);
        const Scalar by_length = v.col(j).dot(out_cotangent.col(j)) / (v_norm * nonzero(r));
        z_cotangent.col(j) = (z_cotangent.col(j) - along * z.col(j)) / s + by_length * z.col(j);
      }
    });
  }

 private:
  [[nodiscard]] static Scalar nonzero(Scalar x) { return x == Scalar(0) ? Scalar(1) : x; }
  [[nodiscard]] static Scalar length_factor(Scalar r, Scalar v_norm) { return v_norm == Scalar(0) ? 0 : r / v_norm; }
  [[nodiscard]] Scalar softened(Scalar r) const { return std::hypot(r, static_cast<Scalar>(options.softening)); }

  void find_directions(ConstTokens<Scalar> z, Tokens<Scalar> w, Pass<Scalar>& pass) const {
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j)
        w.col(j) = z.col(j) / nonzero(softened(detail::length_of(z.col(j))));
    });
  }

  static void give_lengths(ConstTokens<Scalar> z, ConstTokens<Scalar> v, Tokens<Scalar> out, Pass<Scalar>& pass) {
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j)
        out.col(j) = length_factor(detail::length_of(z.col(j)), detail::length_of(v.col(j))) * v.col(j);
    });
  }
};

}  // namespace crate
