// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <type_traits>

#include "crate/core/errors.hpp"
#include "crate/kernels/product.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// W^T Z + b 1^T, where W belongs to a map or an embedding that stands elsewhere in the model: a head that is tied to
/// it. It is no part but a view of one, for a chain's links:
///   part("head", [](auto& model) { return Transposed{model.embedding}; })
/// Map is Linear<S> or TokenEmbedding<S>, const where the model is. The bias, if it has one, is another part of the
/// model.
template <class Map>
struct Transposed {
  using Scalar = typename Map::Scalar;
  using Bias = std::conditional_t<std::is_const_v<Map>, const Vector<Scalar>, Vector<Scalar>>;
  static constexpr bool is_tokenwise = true;
  static constexpr bool frees_output = true;

  Map& map;
  Bias* bias = nullptr;

  explicit Transposed(Map& viewed) : map(viewed) {}
  Transposed(Map& viewed, Bias& added) : map(viewed), bias(&added) {}

  struct Tape {
    Kept<Scalar> tokens;  ///< Z: dL/dW is a product with it
  };

  [[nodiscard]] Index input_dim() const { return map.output_dim(); }
  [[nodiscard]] Index output_dim() const { return map.input_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return "W^T " + as_factor(argument) + (bias != nullptr ? " + b" : "");
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return static_cast<double>(map.weight.size()) * static_cast<double>(layout.tokens());
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_size("transposed map: rows of the tokens", z.rows(), input_dim());
    check_size("transposed map: rows of the output", out.rows(), output_dim());
    if (bias != nullptr) check_size("transposed map: bias", bias->size(), output_dim());
    multiply(map.weight.transpose(), z, out, {.shift = bias != nullptr ? bias->data() : nullptr}, pass.threads);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    forward(z, out, pass);
    tape = {z};
  }

  /// The gradient views the map's.
  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent,
                const Transposed<std::remove_const_t<Map>>& gradient, Pass<Scalar>& pass) const {
    multiply_add(1, tape.tokens.view(), out_cotangent.transpose(), gradient.map.weight, pass.threads);
    if (bias != nullptr) detail::add_row_sums(out_cotangent, *gradient.bias, pass);
    multiply(map.weight, out_cotangent, z_cotangent, pass.threads);
  }
};

template <class Map>
Transposed(Map&) -> Transposed<Map>;
template <class Map, class Bias>
Transposed(Map&, Bias&) -> Transposed<Map>;

}  // namespace crate
