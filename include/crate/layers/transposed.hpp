// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "crate/core/errors.hpp"
#include "crate/kernels/product.hpp"
#include "crate/layers/linear.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// W^T Z, where W belongs to a linear map that stands elsewhere in the model: a head that is tied to an embedding. It
/// is no part but a view of one, for a chain's links:
///   part("head", [](auto& model) { return Transposed{model.embedding}; })
/// Map is Linear<S>, const where the model is.
template <class Map>
struct Transposed {
  using Scalar = typename Map::Scalar;
  static constexpr bool is_tokenwise = true;

  Map& map;

  struct Tape {
    Kept<Scalar> tokens;  ///< Z: dL/dW is a product with it
  };

  [[nodiscard]] Index input_dim() const { return map.output_dim(); }
  [[nodiscard]] Index output_dim() const { return map.input_dim(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "W^T " + as_factor(argument); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const { return map.multiply_adds(layout); }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Pass<Scalar>& pass) const {
    check_size("transposed map: rows of the tokens", z.rows(), input_dim());
    check_size("transposed map: rows of the output", out.rows(), output_dim());
    multiply(map.weight.transpose(), z, out, pass.threads);
  }

  void forward(ConstTokens<Scalar> z, Tokens<Scalar> out, Tape& tape, Pass<Scalar>& pass) const {
    forward(z, out, pass);
    tape = {z};
  }

  /// The gradient views the map's.
  void backward(ConstTokens<Scalar> out_cotangent, const Tape& tape, Tokens<Scalar> z_cotangent,
                const Transposed<Linear<Scalar>>& gradient, Pass<Scalar>& pass) const {
    multiply_add(1, tape.tokens.view(), out_cotangent.transpose(), gradient.map.weight, pass.threads);
    multiply(map.weight, out_cotangent, z_cotangent, pass.threads);
  }
};

template <class Map>
Transposed(Map&) -> Transposed<Map>;

}  // namespace crate
