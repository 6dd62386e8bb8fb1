// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/part.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/linked.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

namespace detail {

/// The options of a layer that has some.
template <class L>
struct OptionsOf {};
template <class L>
requires requires { typename L::Options; }
struct OptionsOf<L> {
  using Options = typename L::Options;
};

}  // namespace detail

/// Gradient checkpointing: layer(Z), whose tape keeps only Z. The backward pass computes the other activations again,
/// at the cost of one more forward pass.
template <class Inner>
struct Recompute : detail::OptionsOf<Inner> {
  using Scalar = typename Inner::Scalar;
  static constexpr bool is_tokenwise = Tokenwise<Inner>;
  static constexpr bool shows_half_steps = detail::ShowsHalfSteps<Inner>;
  static constexpr bool frees_output = true;  // whatever the layer says: no tape of its own is kept

  Inner layer;

  struct Tape {
    Kept<Scalar> tokens;      ///< Z, from which all follows again
    std::uint64_t place = 0;  ///< of the layer's first dropout, so that the same is dropped again
  };

  explicit Recompute(Inner inner) : layer(std::move(inner)) {}

  /// Of a block's options, so that it can be one of a model: ImageClassifier<Recompute<CrateBlock<float>>, ...>.
  template <class Options>
  requires(!std::same_as<Options, Inner> && !std::same_as<Options, Recompute> &&
           std::constructible_from<Inner, const Options&>) explicit Recompute(const Options& options)
      : layer(options) {}

  static constexpr auto parts() { return std::tuple{part("", &Recompute::layer)}; }

  [[nodiscard]] Index input_dim() const { return layer.input_dim(); }
  [[nodiscard]] Index output_dim() const { return layer.output_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return layer.formula(argument); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return layer.multiply_adds(layout); }
  void list_cached_rows(std::vector<Index>& rows) const { detail::list_cached_rows(layer, rows); }

  [[nodiscard]] TokenLayout layout_after(const TokenLayout& layout) const requires ChangesLayout<Inner> {
    return layer.layout_after(layout);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const { layer.forward(z, out, pass); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    tape = {z, pass.dropout.place};
    const typename Pass<Scalar>::ScopedKeep for_now(pass);
    typename Inner::Tape inner;
    layer.forward(z, out, inner, pass);
  }

  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent, Recompute& gradient,
                Pass<Scalar>& pass) const {
    const typename Pass<Scalar>::ScopedKeep for_now(pass);
    pass.dropout.place = tape.place;
    auto out = pass.keep(out_cotangent.rows(), out_cotangent.cols());
    typename Inner::Tape inner;
    layer.forward(tape.tokens.view(), out, inner, pass);
    layer.backward(out_cotangent, inner, z_cotangent, gradient.layer, pass);
  }
};

}  // namespace crate
