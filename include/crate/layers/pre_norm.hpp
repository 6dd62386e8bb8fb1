// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/part.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// layer(LN(Z)).
template <class Inner>
struct PreNorm {
  using Scalar = typename Inner::Scalar;
  static constexpr bool is_tokenwise = Tokenwise<Inner>;

  LayerNorm<Scalar> norm;
  Inner layer;

  explicit PreNorm(Inner inner, const LayerNormOptions& options = {})
      : norm(inner.input_dim(), options), layer(std::move(inner)) {}

  struct Tape {
    typename LayerNorm<Scalar>::Tape norm;
    typename Inner::Tape layer;
  };

  static constexpr auto parts() { return std::tuple{part("norm", &PreNorm::norm), part("", &PreNorm::layer)}; }

  [[nodiscard]] Index input_dim() const { return norm.input_dim(); }
  [[nodiscard]] Index output_dim() const { return layer.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return layer.formula(norm.formula(argument)); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return layer.multiply_adds(layout); }
  void list_cached_rows(std::vector<Index>& rows) const { detail::list_cached_rows(layer, rows); }

  [[nodiscard]] TokenLayout layout_after(const TokenLayout& layout) const requires ChangesLayout<Inner> {
    return layer.layout_after(layout);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto normalised = frame.template matrix<Scalar>(z.rows(), z.cols());
    norm.forward(z, normalised, pass);
    layer.forward(normalised, out, pass);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    auto normalised = pass.keep(z.rows(), z.cols());
    norm.forward(z, normalised, tape.norm, pass);
    layer.forward(normalised, out, tape.layer, pass);
  }

  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent, PreNorm& gradient,
                Pass<Scalar>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto normalised_cotangent = frame.template matrix<Scalar>(z_cotangent.rows(), z_cotangent.cols());
    layer.backward(out_cotangent, tape.layer, normalised_cotangent, gradient.layer, pass);
    norm.backward(normalised_cotangent, tape.norm, z_cotangent, gradient.norm, pass);
  }
};

}  // namespace crate
