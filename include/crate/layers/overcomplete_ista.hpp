// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "crate/core/pages.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/sparse_coding.hpp"

namespace crate {

/// Which matrix turns overcomplete codes into tokens again.
enum class Decoding {
  tied,      ///< the dictionary D itself
  decoupled  ///< another one, D'
};

/// D' A(Z): sparse codes A of the tokens over an overcomplete dictionary D, decoded at once, so that the width stays d
/// (ODL, overcomplete dictionary learning, in CRATE-alpha).
/// See operators/sparse_coding.hpp.
template <crate::Scalar S>
struct OvercompleteIsta {
  using Scalar = S;
  static constexpr bool is_tokenwise = true;

  RowMajorMatrix<S> dictionary;  ///< D, d x s
  RowMajorMatrix<S> decoding;    ///< D', d x s; empty if it is D
  SparseCodeOptions options;

  struct Tape {
    Kept<S> tokens;                  ///< Z: dL/dD is a product with it
    std::vector<Kept<S>> residuals;  ///< Z - D A^t of the steps after the first: so are they
    std::vector<Kept<S>> codes;      ///< A^t after every step: where they are zero, no gradient passes
  };

  /// All zero. Throws OptionError unless dim, atoms >= 1 and the options hold.
  OvercompleteIsta(Index dim, Index atoms, Decoding kind, const SparseCodeOptions& code_options = {})
      : options(code_options) {
    options.check();
    check_option(dim >= 1, "overcomplete ISTA: dim >= 1", dim);
    check_option(atoms >= 1, "overcomplete ISTA: atoms >= 1", atoms);
    set_zero(dictionary, dim, atoms);
    if (kind == Decoding::decoupled) set_zero(decoding, dim, atoms);
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
    check_sizes(z, out);
    Workspace::Frame frame(pass.workspace);
    auto residual = frame.template matrix<S>(z.rows(), z.cols());
    auto codes = frame.template matrix<S>(dictionary.cols(), z.cols());
    detail::sparse_code_into(z, dictionary, options, residual, codes, pass.threads);
    pass.observe("codes", codes);
    multiply(decoder(), codes, out, pass.threads);
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    check_sizes(z, out);
    tape = {z, {}, {}};
    auto first = pass.keep(dictionary.cols(), z.cols());
    detail::first_sparse_code_into(z, dictionary, options, first, pass.threads);
    tape.codes.emplace_back(first);
    for (Index t = 1; t < options.steps; ++t) {
      auto residual = pass.keep(z.rows(), z.cols());
      auto codes = pass.keep(dictionary.cols(), z.cols());
      detail::improve_sparse_code(z, dictionary, options, tape.codes.back().view(), residual, codes, pass.threads);
      tape.residuals.emplace_back(residual);
      tape.codes.emplace_back(codes);
    }
    multiply(decoder(), tape.codes.back().view(), out, pass.threads);
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, OvercompleteIsta& gradient,
                Pass<S>& pass) const {
    Workspace::Frame frame(pass.workspace);
    auto expanded = frame.template matrix<S>(z_cotangent.rows(), z_cotangent.cols());
    auto cotangent = frame.template matrix<S>(dictionary.cols(), z_cotangent.cols());
    RowMajorMatrix<S>& decoder_gradient = decoding.size() != 0 ? gradient.decoding : gradient.dictionary;
    const auto codes = tape.codes.back().view();
    multiply_add(1, out_cotangent, codes.transpose(), decoder_gradient, pass.threads);
    multiply(decoder().transpose(), out_cotangent, cotangent, {.mask = detail::view_of<const S>(codes)}, pass.threads);
    z_cotangent.setZero();
    for (std::size_t t = tape.codes.size() - 1; t > 0; --t)
      detail::improve_sparse_code_adjoint(dictionary, options, tape.residuals[t - 1].view(), tape.codes[t - 1].view(),
                                          cotangent, expanded, z_cotangent, gradient.dictionary, pass.threads);
    detail::first_sparse_code_adjoint(tape.tokens.view(), dictionary, options, cotangent, z_cotangent,
                                      gradient.dictionary, pass.threads);
  }

  /// Kaiming uniform, as published: within sqrt(6 / d) of a tied dictionary, which is stored as D^T, within sqrt(6 / s)
  /// of one with a decoding of its own.
  void initialise(Random& random) {
    const Index fan = decoding.size() != 0 ? dictionary.cols() : dictionary.rows();
    const double bound = std::sqrt(6 / static_cast<double>(fan));
    random.fill_uniform(dictionary, -bound, bound);
    random.fill_uniform(decoding, -bound, bound);
  }

 private:
  [[nodiscard]] const RowMajorMatrix<S>& decoder() const { return decoding.size() != 0 ? decoding : dictionary; }

  void check_sizes(ConstTokens<S> z, ConstTokens<S> out) const {
    check_size("overcomplete ISTA: rows of the tokens", z.rows(), dictionary.rows());
    check_size("overcomplete ISTA: rows of the output", out.rows(), dictionary.rows());
    check_shape("overcomplete ISTA: decoding", decoder(), dictionary.rows(), dictionary.cols());
  }
};

}  // namespace crate
