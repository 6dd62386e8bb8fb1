// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include "crate/core/dropout.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/core/random.hpp"
#include "crate/kernels/dropout.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// [class token, Z] + positions of every set, each of which has as many tokens as there are positions but one; then
/// dropout, in recorded passes alone. Frozen positions are a table that training leaves alone.
template <crate::Scalar S, ParameterKind positions_kind = ParameterKind::trainable>
struct PlaceTokens {
  using Scalar = S;

  Vector<S> class_token;  ///< d
  Matrix<S> positions;    ///< d x (1 + tokens of a set)
  double token_dropout = 0;

  struct Tape {
    std::uint64_t place = 0;  ///< of the dropout, whose numbers backward draws again
  };

  /// A class token of zero.
  explicit PlaceTokens(Matrix<S> table, double dropout_probability = 0)
      : class_token(Vector<S>::Zero(table.rows())), positions(std::move(table)), token_dropout(dropout_probability) {
    check_dropout(token_dropout);
  }

  static constexpr auto parts() {
    return std::tuple{part("class_token", &PlaceTokens::class_token),
                      part("positions", &PlaceTokens::positions, positions_kind)};
  }

  [[nodiscard]] Index input_dim() const { return class_token.size(); }
  [[nodiscard]] Index output_dim() const { return class_token.size(); }
  [[nodiscard]] std::string formula(const std::string& argument) const { return "[c, " + argument + "] + E"; }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }
  [[nodiscard]] TokenLayout layout_after(const TokenLayout& layout) const { return layout.longer_by(1); }

  void forward(ConstTokens<S> z, Tokens<S> out, Pass<S>& pass) const {
    const TokenLayout& layout = pass.layout();
    check_sizes(layout);
    pass.threads.for_each(layout.sets(), [&](Index s, int) {
      const Index count = layout.length(s);
      auto set = out.middleCols(layout.begin(s) + s, 1 + count);
      set.col(0) = class_token + positions.col(0);
      set.rightCols(count) = z.middleCols(layout.begin(s), count) + positions.rightCols(count);
    });
  }

  void forward(ConstTokens<S> z, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    forward(z, out, pass);
    tape = {pass.dropout.take_place()};
    detail::drop_sets(layout_after(pass.layout()), token_dropout, pass.dropout, tape.place, out, pass.threads);
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, Tokens<S> z_cotangent, PlaceTokens& gradient,
                Pass<S>& pass) const {
    const TokenLayout& layout = pass.layout();
    if (token_dropout == 0) return hand_back(out_cotangent, layout, z_cotangent, gradient);
    Workspace::Frame frame(pass.workspace);
    auto cotangent = frame.template matrix<S>(out_cotangent.rows(), out_cotangent.cols());
    cotangent = out_cotangent;
    detail::drop_sets(layout_after(layout), token_dropout, pass.dropout, tape.place, cotangent, pass.threads);
    hand_back(cotangent, layout, z_cotangent, gradient);
  }

  /// Standard normal, as published for the classifier.
  void initialise(Random& random) {
    random.fill_normal(class_token);
    if constexpr (positions_kind == ParameterKind::trainable) random.fill_normal(positions);
  }

 private:
  /// Adds what belongs to the class token and the positions set after set.
  static void hand_back(ConstTokens<S> cotangent, const TokenLayout& layout, Tokens<S> z_cotangent,
                        PlaceTokens& gradient) {
    for (Index s = 0; s < layout.sets(); ++s) {
      const Index count = layout.length(s);
      const auto set = cotangent.middleCols(layout.begin(s) + s, 1 + count);
      gradient.class_token += set.col(0);
      z_cotangent.middleCols(layout.begin(s), count) = set.rightCols(count);
      if constexpr (positions_kind == ParameterKind::trainable) gradient.positions += set;
    }
  }

  void check_sizes(const TokenLayout& layout) const {
    check_size("positions: rows", positions.rows(), class_token.size());
    for (Index s = 0; s < layout.sets(); ++s)
      check_size("positions: tokens of a set beside the class token", layout.length(s), positions.cols() - 1);
  }
};

}  // namespace crate
