// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <tuple>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/pages.hpp"
#include "crate/core/part.hpp"
#include "crate/core/random.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// Z + positions, for sets of any length up to a longest: token i of a set gets the position f + i, f = first_position.
/// With f > 0 what is padding gets the one before, f - 1, as in RoBERTa, where f = 2.
template <crate::Scalar S>
struct AddPositions {
  using Scalar = S;

  Matrix<S> positions;  ///< d x (f + longest set)
  Index first_position = 0;

  struct Tape {};

  /// All zero. Throws OptionError unless dim, longest >= 1 and first >= 0.
  AddPositions(Index dim, Index longest, Index first = 0) : first_position(first) {
    check_option(dim >= 1, "positions: dim >= 1", dim);
    check_option(longest >= 1, "positions: tokens of a set >= 1", longest);
    check_option(first >= 0, "positions: the first one >= 0", first);
    set_zero(positions, dim, first + longest);
  }

  static constexpr auto parts() { return std::tuple{part("positions", &AddPositions::positions)}; }

  [[nodiscard]] Index input_dim() const { return positions.rows(); }
  [[nodiscard]] Index output_dim() const { return positions.rows(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return argument + " + E"; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }

  /// Tokens that went before count.
  void list_cached_rows(std::vector<Index>&) const {}

  /// The most tokens that a set may have.
  [[nodiscard]] Index longest() const { return positions.cols() - first_position; }

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout&, int) const { return 0; }

  /// Throws ShapeError if a set is longer than there are positions.
  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    check_size("positions: rows of the tokens", z.rows(), positions.rows());
    const TokenLayout& layout = pass.layout();
    const TokenCache<S>* const before = pass.cache();
    for (Index s = 0; s < layout.sets(); ++s) {
      const Index length = layout.length(s) + (before != nullptr ? before->past(s) : 0);
      if (length > longest())
        throw ShapeError(concatenate("positions: expected at most ", longest(),
                                     " tokens in a set, the context of the model, found ", length));
    }
    out = z;
    for_each_position(layout, before, [&](Index begin, Index position, Index count, bool is_padding) {
      auto tokens = out.middleCols(begin, count);
      if (is_padding)
        tokens.colwise() += positions.col(position);
      else
        tokens += positions.middleCols(position, count);
    });
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape&, Pass<S>& pass) const { forward(z, out, pass); }

  void backward(ConstTokens<S> out_cotangent, const Tape&, Tokens<S> z_cotangent, AddPositions& gradient,
                Pass<S>& pass) const {
    z_cotangent = out_cotangent;
    for_each_position(pass.layout(), nullptr, [&](Index begin, Index position, Index count, bool is_padding) {
      const auto tokens = out_cotangent.middleCols(begin, count);
      if (is_padding)
        gradient.positions.col(position) += tokens.rowwise().sum();
      else
        gradient.positions.middleCols(position, count) += tokens;
    });
  }

  /// Normal with deviation 0.02, as published for GPT-2 and BERT.
  void initialise(Random& random) {
    random.fill_normal(positions);
    positions *= S(0.02);
  }

 private:
  /// Calls visit(first token, its position, how many tokens, whether all of these have that one position) for runs of
  /// tokens of every set.
  template <class Visit>
  void for_each_position(const TokenLayout& layout, const TokenCache<S>* before, const Visit& visit) const {
    for (Index s = 0; s < layout.sets(); ++s) {
      const Index begin = layout.begin(s), counted = first_position > 0 ? layout.visible(s) : layout.length(s);
      visit(begin, first_position + (before != nullptr ? before->past(s) : 0), counted, false);
      if (counted < layout.length(s)) visit(begin + counted, first_position - 1, layout.length(s) - counted, true);
    }
  }
};

}  // namespace crate
