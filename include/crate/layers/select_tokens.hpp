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

/// Some of the tokens, as they are: out_j = z_{i(j)}, and back dL/dz_{i(j)} = dL/dout_j, zero for those left out.
/// A Selection has static members
///   formula(argument)        how it is written
///   layout_after(layout)     the sets that are left
///   for_each(layout, body)   calls body(i, j, count): tokens j, ..., j + count - 1 are i, ..., i + count - 1 of before
template <crate::Scalar S, class Selection>
struct SelectTokens {
  using Scalar = S;

  Index dim;  ///< d

  struct Tape {};

  static constexpr auto parts() { return std::tuple{}; }

  [[nodiscard]] Index input_dim() const { return dim; }
  [[nodiscard]] Index output_dim() const { return dim; }
  [[nodiscard]] std::string formula(const std::string& argument) const { return Selection::formula(argument); }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }
  [[nodiscard]] TokenLayout layout_after(const TokenLayout& layout) const { return Selection::layout_after(layout); }

  void list_cached_rows(std::vector<Index>&) const {}

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout&, int) const { return 0; }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("selected tokens: rows", z.rows(), dim);
    Selection::for_each(pass.layout(), [&](Index from, Index to, Index count) {
      out.middleCols(to, count) = z.middleCols(from, count);
    });
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape&, Pass<S>& pass) const { forward(z, out, pass); }

  void backward(ConstTokens<S> out_cotangent, const Tape&, Tokens<S> z_cotangent, SelectTokens&, Pass<S>& pass) const {
    z_cotangent.setZero();
    Selection::for_each(pass.layout(), [&](Index from, Index to, Index count) {
      z_cotangent.middleCols(from, count) += out_cotangent.middleCols(to, count);
    });
  }
};

}  // namespace crate
