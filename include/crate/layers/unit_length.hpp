// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>
#include <tuple>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/unit_columns.hpp"

namespace crate {

/// Every token at length 1: z_j / max(||z_j||, 1e-12), as PyTorch's normalize.
template <crate::Scalar S>
struct UnitLength {
  using Scalar = S;
  static constexpr bool is_tokenwise = true;

  Index dim;  ///< d

  struct Tape {
    Kept<S> tokens;   ///< Z, whose lengths backward divides by
    Kept<S> results;  ///< of length 1: what points along them is lost
  };

  static constexpr auto parts() { return std::tuple{}; }

  [[nodiscard]] Index input_dim() const { return dim; }
  [[nodiscard]] Index output_dim() const { return dim; }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "direction(" + argument + ")"; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("tokens at length 1: rows", z.rows(), dim);
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) out.col(j) = z.col(j) / divisor_of(z.col(j));
    });
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    forward(z, out, pass);
    tape = {z, out};
  }

  /// dL/dz = (g - <g, w> w) / ||z||, w = z / ||z||, g = dL/dw; g / 1e-12 of tokens shorter than that.
  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, UnitLength&,
                Pass<S>& pass) const {
    const auto z = tape.tokens.view(), w = tape.results.view();
    for_each_columns(z.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) {
        const S divisor = divisor_of(z.col(j)), along = divisor > least ? out_cotangent.col(j).dot(w.col(j)) : 0;
        z_cotangent.col(j) = (out_cotangent.col(j) - along * w.col(j)) / divisor;
      }
    });
  }

 private:
  static constexpr S least = S(1e-12);

  template <class Derived>
  [[nodiscard]] static S divisor_of(const Eigen::MatrixBase<Derived>& token) {
    return std::max(detail::length_of(token), least);
  }
};

}  // namespace crate
