// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/pages.hpp"
#include "crate/core/part.hpp"
#include "crate/core/random.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/pass.hpp"

// From ids of tokens to tokens.

namespace crate {

/// Ids of tokens, set after set: views of arrays that outlive it. An array that ends with the expression serves a pass
/// in the same expression, model.forward(TokenIds(tokeniser.encode(text))), and nothing later.
struct TokenIds {
  std::span<const Index> ids;
  TokenLayout sets;                   ///< where each begins, and how many of its tokens are no padding
  std::span<const Index> types = {};  ///< of each token, for models that tell types apart; empty: all 0

  /// One set.
  TokenIds(std::span<const Index> one_set) : TokenIds(one_set, layout_of(std::ssize(one_set))) {}
  /// Several. Throws ShapeError unless there is an id, and a type unless there are none, for every token.
  TokenIds(std::span<const Index> side_by_side, TokenLayout layout, std::span<const Index> types_of_tokens = {})
      : ids(side_by_side), sets(std::move(layout)), types(types_of_tokens) {
    check_size("token ids", std::ssize(ids), sets.tokens());
    if (!types.empty()) check_size("token types", std::ssize(types), sets.tokens());
  }

  [[nodiscard]] const TokenLayout& layout() const { return sets; }

 private:
  static TokenLayout layout_of(Index tokens) { return TokenLayout::equal(tokens > 0 ? 1 : 0, tokens); }
};

/// W e_i of every id i, or W e_i + T e_t of an id and a type.
template <crate::Scalar S>
struct TokenEmbedding {
  using Scalar = S;
  using Input = TokenIds;

  Matrix<S> weight;  ///< W, d x V, of a vocabulary of V ids
  Matrix<S> types;   ///< T, d x (number of types), or empty

  struct Tape {
    std::vector<Index> ids, types;  ///< the columns that the gradient adds to
  };

  /// All zero. Throws OptionError unless dim, vocabulary >= 1 and number_of_types >= 0.
  TokenEmbedding(Index vocabulary, Index dim, Index number_of_types = 0) {
    check_option(vocabulary >= 1, "token embedding: vocabulary >= 1", vocabulary);
    check_option(dim >= 1, "token embedding: dim >= 1", dim);
    check_option(number_of_types >= 0, "token embedding: number of types >= 0", number_of_types);
    set_zero(weight, dim, vocabulary);
    if (number_of_types > 0) types.setZero(dim, number_of_types);
  }

  static constexpr auto parts() {
    return std::tuple{part("weight", &TokenEmbedding::weight), part("types", &TokenEmbedding::types)};
  }

  [[nodiscard]] Index input_dim() const { return weight.cols(); }
  [[nodiscard]] Index output_dim() const { return weight.rows(); }
  [[nodiscard]] std::string formula(const std::string& argument) const {
    return "W[" + argument + "]" + (types.size() != 0 ? " + T" : "");
  }
  [[nodiscard]] double multiply_adds(const TokenLayout&) const { return 0; }

  void list_cached_rows(std::vector<Index>&) const {}

  /// The bytes of workspace that a pass takes.
  [[nodiscard]] std::size_t workspace_bytes(const TokenLayout&, int) const { return 0; }

  /// Throws ShapeError if an id is none of the vocabulary, or a type none of the types.
  void forward(const Input& input, Tokens<S> out, Pass<S>& pass) const {
    check_ids("token", "vocabulary", input.ids, weight.cols());
    check_ids("type of token", "table of types", input.types, std::max(types.cols(), Index{1}));
    for_each_columns(out.cols(), pass.threads, [&](Index first, Index count) {
      for (Index j = first; j < first + count; ++j) {
        out.col(j) = weight.col(at(input.ids, j));
        if (types.size() != 0) out.col(j) += types.col(input.types.empty() ? 0 : at(input.types, j));
      }
    });
  }

  void forward(const Input& input, Tokens<S> out, Tape& tape, Pass<S>& pass) const {
    forward(input, out, pass);
    tape.ids.assign(input.ids.begin(), input.ids.end());
    tape.types.assign(input.types.begin(), input.types.end());
    if (types.size() != 0) tape.types.resize(tape.ids.size(), 0);
  }

  void backward(ConstTokens<S> out_cotangent, const Tape& tape, TokenEmbedding& gradient, Pass<S>& pass) const {
    add_columns(out_cotangent, tape.ids, gradient.weight, pass);
    if (types.size() != 0) add_columns(out_cotangent, tape.types, gradient.types, pass);
  }

  /// Normal with deviation 0.02, as published for GPT-2 and BERT.
  void initialise(Random& random) {
    random.fill_normal(weight);
    random.fill_normal(types);
    weight *= S(0.02);
    types *= S(0.02);
  }

 private:
  [[nodiscard]] static Index at(std::span<const Index> ids, Index j) { return ids[static_cast<std::size_t>(j)]; }

  static void check_ids(std::string_view what, std::string_view table, std::span<const Index> ids, Index size) {
    for (std::size_t j = 0; j < ids.size(); ++j)
      if (ids[j] < 0 || ids[j] >= size)
        throw ShapeError(concatenate(what, " ", j, ": expected an id from 0 to ", size - 1, ", as the ", table, " has ",
                                     size, ", found ", ids[j]));
  }

  /// Adds column j of the cotangent to the column ids[j] of the gradient, in the order of the tokens.
  static void add_columns(ConstTokens<S> cotangent, std::span<const Index> ids, Matrix<S>& gradient, Pass<S>& pass) {
    constexpr Index piece_rows = 64;
    pass.threads.for_each_range(gradient.rows(), piece_rows, [&](Index first, Index count, int) {
      for (Index j = 0; j < cotangent.cols(); ++j)
        gradient.col(at(ids, j)).segment(first, count) += cotangent.col(j).segment(first, count);
    });
  }
};

}  // namespace crate
