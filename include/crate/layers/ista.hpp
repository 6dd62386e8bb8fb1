// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string>
#include <tuple>

#include "crate/core/pages.hpp"
#include "crate/core/random.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/ista.hpp"

namespace crate {

/// ISTA(Z | D): one proximal step towards a sparse code in a complete dictionary. See operators/ista.hpp.
template <crate::Scalar S>
struct Ista {
  using Scalar = S;
  static constexpr bool is_tokenwise = true;

  RowMajorMatrix<S> dictionary;  ///< D, d x d
  IstaOptions options;

  struct Tape {
    Kept<S> tokens;  ///< Z: dL/dD is a product with it
    /// The step's matrix A, of which dL/dZ is a product, or for few tokens Z - D Z, of which dL/dD is one.
    Kept<S> step_or_residual;
    Kept<S> result;  ///< where it is zero, no gradient passes
  };

  /// D = 0. Throws OptionError unless dim >= 1 and the options hold.
  explicit Ista(Index dim, const IstaOptions& ista_options = {}) : options(ista_options) {
    options.check();
    check_option(dim >= 1, "ISTA: dim >= 1", dim);
    set_zero(dictionary, dim, dim);
  }

  static constexpr auto parts() { return std::tuple{part("dictionary", &Ista::dictionary)}; }

  [[nodiscard]] Index input_dim() const { return dictionary.rows(); }
  [[nodiscard]] Index output_dim() const { return dictionary.rows(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "ISTA(" + argument + ")"; }
  /// By the published arithmetic. For N > d / 2 tokens, N d^2 + d^3 / 2 of a proximal-gradient step's 2 N d^2 are done.
  [[nodiscard]] double multiply_adds(const TokenLayout& layout) const {
    const double products = options.rule == SparsifyRule::proximal_gradient ? 2 : 1;
    return products * static_cast<double>(dictionary.size()) * static_cast<double>(layout.tokens());
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_sizes(z, out);
    Workspace::Frame frame(pass.workspace);
    auto room = frame.template matrix<S>(z.rows(), detail::ista_room_columns(z, options));
    detail::ista_into(z, dictionary, options, room, out, pass.threads);
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    check_sizes(z, out);
    auto room = pass.keep(z.rows(), detail::ista_room_columns(z, options));
    detail::ista_into(z, dictionary, options, room, out, pass.threads);
    tape = {z, room, out};
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, Ista& gradient,
                Pass<S>& pass) const {
    Workspace::Frame frame(pass.workspace);
    const auto room = tape.step_or_residual.view();
    auto masked = frame.template matrix<S>(z_cotangent.rows(), z_cotangent.cols());
    auto second = frame.template matrix<S>(room.rows(), room.cols());
    detail::ista_adjoint_into(tape.tokens.view(), dictionary, options, room, tape.result.view(), out_cotangent, masked,
                              second, z_cotangent, gradient.dictionary, pass.threads);
  }

  /// Kaiming uniform, as published: within sqrt(6 / d).
  void initialise(Random& random) {
    const double bound = std::sqrt(6 / static_cast<double>(dictionary.cols()));
    random.fill_uniform(dictionary, -bound, bound);
  }

 private:
  void check_sizes(ConstTokens<S> z, ConstTokens<S> out) const {
    check_shape("ISTA: dictionary", dictionary, z.rows(), z.rows());
    check_size("ISTA: rows of the output", out.rows(), z.rows());
  }
};

}  // namespace crate
