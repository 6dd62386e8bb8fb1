// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>

#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// What becomes of the tokens of a set.
enum class Pooling {
  class_token,  ///< the first
  mean          ///< the mean of all that are visible, the class token included
};

/// One token for each set.
template <crate::Scalar S>
struct Pool {
  using Scalar = S;

  Index dim;  ///< d
  Pooling pooling = Pooling::class_token;

  struct Tape {};

  static constexpr auto parts() { return std::tuple{}; }

  [[nodiscard]] Index input_dim() const { return dim; }
  [[nodiscard]] Index output_dim() const { return dim; }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return (pooling == Pooling::mean ? "mean(" : "first(") + argument + ")";
  }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }
  [[nodiscard]] TokenLayout layout_after(const TokenLayout& layout) const {
    return TokenLayout::equal(layout.sets(), 1);
  }

  /// Whether no token but the first of each set matters.
  [[nodiscard]] bool reads_first_token() const { return pooling == Pooling::class_token; }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("pool: rows of the tokens", z.rows(), dim);
    const TokenLayout& layout = pass.layout();
    for (Index s = 0; s < layout.sets(); ++s) {
      if (pooling == Pooling::class_token)
        out.col(s) = z.col(layout.begin(s));
      else
        out.col(s) = z.middleCols(layout.begin(s), layout.visible(s)).rowwise().mean();
    }
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape&, Pass<S>& pass) const { forward(z, out, pass); }

  void backward(ConstTokens<S> out_cotangent, const Tape&, Tokens<S> z_cotangent, Pool&, Pass<S>& pass) const {
    const TokenLayout& layout = pass.layout();
    z_cotangent.setZero();
    for (Index s = 0; s < layout.sets(); ++s) {
      if (pooling == Pooling::class_token)
        z_cotangent.col(layout.begin(s)) = out_cotangent.col(s);
      else
        z_cotangent.middleCols(layout.begin(s), layout.visible(s)).colwise() =
            out_cotangent.col(s) / static_cast<S>(layout.visible(s));
    }
  }
};

}  // namespace crate
