// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <tuple>

#include "crate/core/random.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/sparse_coding.hpp"

namespace crate {

/// Which matrix turns overcomplete codes into tokens again.
enum class Decoding {
  tied,      ///< the dictionary D itself
  decoupled  ///< another one, D'
};

/// D' A(Z): sparse codes A of the tokens over an overcomplete dictionary D, decoded at once, so that the width stays d.
/// See operators/sparse_coding.hpp.
template <crate::Scalar S>
struct OvercompleteIsta {
  using Scalar = S;

  RowMajorMatrix<S> dictionary;  ///< D, d x s
  RowMajorMatrix<S> decoding;    ///< D', d x s; empty if it is D
  SparseCodeOptions options;

  /// All zero. Throws OptionError unless dim, atoms >= 1 and the options hold.
  OvercompleteIsta(Index dim, Index atoms, Decoding kind, const SparseCodeOptions& code_options = {})
      : options(code_options) {
    options.check();
    check_option(dim >= 1, "overcomplete ISTA: dim >= 1", dim);
    check_option(atoms >= 1, "overcomplete ISTA: atoms >= 1", atoms);
    dictionary.setZero(dim, atoms);
    if (kind == Decoding::decoupled) decoding.setZero(dim, atoms);
  }

  static constexpr auto parts() {
    return std::tuple{part("dictionary", &OvercompleteIsta::dictionary), part("decoding", &OvercompleteIsta::decoding)};
  }

  [[nodiscard]] Index input_dim() const { return dictionary.rows(); }
  [[nodiscard]] Index output_dim() const { return dictionary.rows(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return (decoding.size() != 0 ? "D' code(" : "D code(") + argument + ")";
  }
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    return 2 * static_cast<double>(options.steps) * static_cast<double>(dictionary.size()) *
           static_cast<double>(layout.tokens());
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("overcomplete ISTA: rows of the tokens", z.rows(), dictionary.rows());
    check_size("overcomplete ISTA: rows of the output", out.rows(), dictionary.rows());
    Workspace::Frame frame(pass.workspace);
    auto residual = frame.template matrix<S>(z.rows(), z.cols());
    auto codes = frame.template matrix<S>(dictionary.cols(), z.cols());
    detail::sparse_code_into(z, dictionary, options, residual, codes, pass.threads);
    pass.observe("codes", codes);
    const RowMajorMatrix<S>& decode = decoding.size() != 0 ? decoding : dictionary;
    check_shape("overcomplete ISTA: decoding", decode, dictionary.rows(), dictionary.cols());
    multiply(decode, codes, out, pass.threads);
  }

  /// Kaiming uniform: within sqrt(6 / s).
  void initialise(Random& random) {
    const double bound = std::sqrt(6 / static_cast<double>(dictionary.cols()));
    random.fill_uniform(dictionary, -bound, bound);
    random.fill_uniform(decoding, -bound, bound);
  }
};

}  // namespace crate
