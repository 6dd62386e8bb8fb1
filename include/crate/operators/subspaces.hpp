// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <string_view>
#include <tuple>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"

namespace crate {

namespace detail {

template <class M>
inline constexpr bool is_view = false;
template <class M, int options, class Stride>
inline constexpr bool is_view<Eigen::Map<M, options, Stride>> = true;
template <class M, int options, class Stride>
inline constexpr bool is_view<Eigen::Ref<M, options, Stride>> = true;

/// A matrix, or a view that says by its type that it is one.
template <class M>
concept HoldsOrViewsEntries = std::same_as<M, typename M::PlainObject> || is_view<M>;

/// p, of projected tokens H = U^T Z, (K p) x N. Throws ShapeError, which names `what` is computed of them, unless the
/// number of heads K divides their rows.
[[nodiscard]] inline Index projected_head_dim(std::string_view what, Index rows, Index heads) {
  if (heads < 1 || rows % heads != 0)
    throw ShapeError(concatenate(what, ": expected a number of heads that divides ", rows, " rows, found ", heads));
  return rows / heads;
}

}  // namespace detail

/// U_[K] = [U_1 ... U_K], d x (K p): K subspaces of R^d, one a head, each spanned by the p columns of its U_k.
/// In theory the columns of U_k are orthonormal; nothing here depends on that.
/// Holds a matrix, or views one if `Bases` is an Eigen::Map or Eigen::Ref.
template <detail::HoldsOrViewsEntries Bases>
class Subspaces {
 public:
  using Scalar = typename Bases::Scalar;

  /// Throws ShapeError unless there is a row, and heads >= 1 divides the columns into subspaces of dimension >= 1.
  Subspaces(Bases bases, Index heads) : bases_(std::move(bases)), heads_(heads) { check(); }

  /// Throws as the constructor; for those who changed the bases since.
  void check() const {
    check_not_empty("subspaces", bases_);
    if (heads_ < 1 || bases_.cols() < heads_ || bases_.cols() % heads_ != 0)
      throw ShapeError(concatenate("subspaces: expected a positive number of heads that divides the ", bases_.cols(),
                                   " columns of U, found ", heads_));
  }

  [[nodiscard]] const Bases& bases() const { return bases_; }
  [[nodiscard]] Bases& bases() { return bases_; }

  /// U_k, d x p.
  [[nodiscard]] auto basis(Index head) const { return bases_.middleCols(head * head_dim(), head_dim()); }
  [[nodiscard]] auto basis(Index head) { return bases_.middleCols(head * head_dim(), head_dim()); }

  [[nodiscard]] Index dim() const { return bases_.rows(); }                ///< d
  [[nodiscard]] Index heads() const { return heads_; }                     ///< K
  [[nodiscard]] Index head_dim() const { return bases_.cols() / heads_; }  ///< p

  static constexpr auto parts() { return std::tuple{part("", &Subspaces::bases_)}; }

 private:
  Bases bases_;
  Index heads_;
};

template <class Expression>
Subspaces(const Eigen::MatrixBase<Expression>&, Index) -> Subspaces<Plain<Expression>>;

/// dL/dZ and dL/dU of something computed of tokens and subspaces.
template <class TokensPlain, class BasesPlain>
struct SubspaceGradient {
  TokensPlain tokens;  ///< d x N
  BasesPlain bases;    ///< d x (K p)
};

}  // namespace crate
