// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <tuple>

#include "crate/core/pages.hpp"
#include "crate/core/random.hpp"
#include "crate/kernels/product.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// D Z: what the decoder does where the encoder sparsifies.
template <crate::Scalar S>
struct Dictionary {
  using Scalar = S;
  static constexpr bool is_tokenwise = true;

  RowMajorMatrix<S> dictionary;  ///< D, d x d

  struct Tape {
    Kept<S> tokens;  ///< Z: dL/dD is a product with it
  };

  /// D = 0. Throws OptionError unless dim >= 1.
  explicit Dictionary(Index dim) {
    check_option(dim >= 1, "dictionary: dim >= 1", dim);
    set_zero(dictionary, dim, dim);
  }

  static constexpr auto parts() { return std::tuple{part("dictionary", &Dictionary::dictionary)}; }

  [[nodiscard]] Index input_dim() const { return dictionary.cols(); }
  [[nodiscard]] Index output_dim() const { return dictionary.rows(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "D " + as_factor(argument); }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return static_cast<double>(dictionary.size()) * static_cast<double>(layout.tokens());
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("dictionary: rows of the tokens", z.rows(), dictionary.cols());
    check_size("dictionary: rows of the output", out.rows(), dictionary.rows());
    multiply(dictionary, z, out, pass.threads);
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    forward(z, out, pass);
    tape = {z};
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, Dictionary& gradient,
                Pass<S>& pass) const {
    multiply_add(1, out_cotangent, tape.tokens.view().transpose(), gradient.dictionary, pass.threads);
    multiply(dictionary.transpose(), out_cotangent, z_cotangent, pass.threads);
  }

  /// Kaiming uniform, as published: within sqrt(6 / d).
  void initialise(Random& random) {
    const double bound = std::sqrt(6 / static_cast<double>(dictionary.cols()));
    random.fill_uniform(dictionary, -bound, bound);
  }
};

}  // namespace crate
