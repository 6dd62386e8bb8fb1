// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/unit_columns.hpp"

// How well tokens of one class stay together and apart from the others, if their classes are known.

namespace crate {

struct ClassSeparation {
  double separation = 0;  ///< mean |cosine| of pairs within a class over that of pairs of two, centred; may be infinite
  double nearest_neighbour = 0;  ///< share of tokens whose nearest other token, by cosine, has the same class
};

namespace detail {

/// Calls body(j, cosines) for every token j, with the cosines between it and all tokens.
template <Scalar S, class Body>
void for_each_token_cosines(const Matrix<S>& unit, Threads& threads, const Body& body) {
  constexpr Index most_columns = 256;
  Matrix<S> cosines;
  for (Index first = 0; first < unit.cols(); first += most_columns) {
    const Index count = std::min(most_columns, unit.cols() - first);
    cosines.resize(unit.cols(), count);
    multiply(unit.transpose(), unit.middleCols(first, count), cosines, threads);
    for (Index j = 0; j < count; ++j) body(first + j, cosines.col(j));
  }
}

template <Scalar S>
[[nodiscard]] double separation(const Matrix<S>& tokens, const std::vector<Index>& classes, Threads& threads) {
  const Matrix<S> centred = tokens.colwise() - tokens.rowwise().mean();
  double within = 0, between = 0, pairs_within = 0, pairs_between = 0;
  for_each_token_cosines(unit_columns<S>(centred), threads, [&](Index j, const auto& cosines) {
    for (Index i = 0; i < j; ++i) {
      const bool same = classes[static_cast<std::size_t>(i)] == classes[static_cast<std::size_t>(j)];
      (same ? within : between) += std::abs(static_cast<double>(cosines(i)));
      (same ? pairs_within : pairs_between) += 1;
    }
  });
  if (!(pairs_within > 0 && pairs_between > 0))
    throw OptionError(
        concatenate("class separation: expected two classes or more, one of them with two tokens or more, found ",
                    tokens.cols(), pairs_between > 0 ? " tokens of as many classes" : " tokens of one class"));
  if (!(within + between > 0))
    throw OptionError("class separation: expected tokens that differ, found all of them equal or orthogonal");
  return (within / pairs_within) / (between / pairs_between);
}

template <Scalar S>
[[nodiscard]] double nearest_neighbour_share(const Matrix<S>& tokens, const std::vector<Index>& classes,
                                             Threads& threads) {
  Index right = 0;
  for_each_token_cosines(unit_columns<S>(tokens), threads, [&](Index j, auto cosines) {
    cosines(j) = -2;
    Index nearest = 0;
    cosines.maxCoeff(&nearest);
    if (classes[static_cast<std::size_t>(nearest)] == classes[static_cast<std::size_t>(j)]) ++right;
  });
  return static_cast<double>(right) / static_cast<double>(tokens.cols());
}

}  // namespace detail

/// Compares all pairs of tokens, d x N: O(N^2 d). `classes` holds the class of each token. Throws ShapeError unless
/// there is one class per token, OptionError unless there are pairs within a class and pairs from two classes, and
/// tokens that differ, PrecisionError if tokens are not finite.
template <class ZDerived>
[[nodiscard]] ClassSeparation class_separation(const Eigen::MatrixBase<ZDerived>& tokens,
                                               const std::vector<Index>& classes, Threads& threads) {
  using S = typename ZDerived::Scalar;
  check_size("class separation: classes", static_cast<Index>(classes.size()), tokens.cols());
  const Matrix<S> z = tokens;
  check_finite("class separation: tokens", z);
  return {detail::separation<S>(z, classes, threads), detail::nearest_neighbour_share<S>(z, classes, threads)};
}

/// class_separation on one thread.
template <class ZDerived>
[[nodiscard]] ClassSeparation class_separation(const Eigen::MatrixBase<ZDerived>& tokens,
                                               const std::vector<Index>& classes) {
  Threads alone;
  return class_separation(tokens, classes, alone);
}

}  // namespace crate
