// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <tuple>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// The tokens that TokenLayout::with_chosen names, as one set; all, in their sets, if it names none. In front of what
/// is costly for each token and needs the others no more, such as a head with a large vocabulary.
template <crate::Scalar S>
struct ChooseTokens {
  using Scalar = S;

  Index dim;  ///< d

  struct Tape {};

  static constexpr auto parts() { return std::tuple{}; }

  [[nodiscard]] Index input_dim() const { return dim; }
  [[nodiscard]] Index output_dim() const { return dim; }
  [[nodiscard]] std::string formula(const std::string& argument) const { return argument; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }
  [[nodiscard]] TokenLayout layout_after(const TokenLayout& layout) const {
    if (!layout.chosen()) return layout;
    const Index count = std::ssize(*layout.chosen());
    return TokenLayout::equal(count > 0 ? 1 : 0, count);
  }

  void list_cached_rows(std::vector<Index>&) const {}

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t room(const TokenLayout&, int) const { return 0; }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("chosen tokens: rows", z.rows(), dim);
    if (const auto& chosen = pass.layout().chosen())
      for (std::size_t i = 0; i < chosen->size(); ++i) out.col(static_cast<Index>(i)) = z.col((*chosen)[i]);
    else
      out = z;
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape&, Pass<S>& pass) const { forward(z, out, pass); }

  void backward(ConstTokens<S> out_cotangent, const Tape&, Tokens<S> z_cotangent, ChooseTokens&, Pass<S>& pass) const {
    const auto& chosen = pass.layout().chosen();
    if (!chosen) {
      z_cotangent = out_cotangent;
      return;
    }
    z_cotangent.setZero();
    for (std::size_t i = 0; i < chosen->size(); ++i)
      z_cotangent.col((*chosen)[i]) += out_cotangent.col(static_cast<Index>(i));
  }
};

}  // namespace crate
