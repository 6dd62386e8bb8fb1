// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>
#include <utility>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"

namespace crate {

namespace detail {
template <class M>
concept HoldsOrViewsEntries = (M::Flags & Eigen::DirectAccessBit) != 0;
}

/// U_[K] = [U_1 ... U_K], d x (K p): K subspaces of R^d, one a head, each spanned by the p columns of its U_k.
/// In theory the columns of U_k are orthonormal; nothing here depends on that.
/// Holds a matrix, or views one if `Bases` is an Eigen::Map or Eigen::Ref.
template <detail::HoldsOrViewsEntries Bases>
class Subspaces {
 public:
  using Scalar = typename Bases::Scalar;

  /// Throws ShapeError unless heads >= 1 divides the number of columns into subspaces of dimension >= 1.
  Subspaces(Bases bases, Index heads) : bases_(std::move(bases)), heads_(heads) {
    if (heads < 1 || bases_.cols() < heads || bases_.cols() % heads != 0)
      throw ShapeError(concatenate("subspaces: expected a positive number of heads that divides the ", bases_.cols(),
                                   " columns of U, found ", heads));
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

}  // namespace crate
