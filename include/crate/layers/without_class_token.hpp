// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>

#include "crate/core/part.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// All tokens of a set but the first.
template <crate::Scalar S>
struct WithoutClassToken {
  using Scalar = S;

  Index dim;  ///< d

  struct Tape {};

  static constexpr auto parts() { return std::tuple{}; }

  [[nodiscard]] Index input_dim() const { return dim; }
  [[nodiscard]] Index output_dim() const { return dim; }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "rest(" + argument + ")"; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }
  [[nodiscard]] TokenLayout layout_after(const TokenLayout& layout) const { return layout.longer_by(-1); }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    for_each_set(pass.layout(),
                 [&](Index from, Index to, Index count) { out.middleCols(to, count) = z.middleCols(from + 1, count); });
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape&, Pass<S>& pass) const { forward(z, out, pass); }

  void backward(ConstTokens<S> out_cotangent, const Tape&, Tokens<S> z_cotangent, WithoutClassToken&,
                Pass<S>& pass) const {
    for_each_set(pass.layout(), [&](Index to, Index from, Index count) {
      z_cotangent.col(to).setZero();
      z_cotangent.middleCols(to + 1, count) = out_cotangent.middleCols(from, count);
    });
  }

 private:
  /// Calls body(its first token, the first of what is left, how many are left) for every set.
  template <class Body>
  static void for_each_set(const TokenLayout& layout, const Body& body) {
    for (Index s = 0; s < layout.sets(); ++s) body(layout.begin(s), layout.begin(s) - s, layout.length(s) - 1);
  }
};

}  // namespace crate
