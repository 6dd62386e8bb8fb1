// SPDX-License-Identifier: MIT
#include "crate/operators/subspaces.hpp"

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

TEST_CASE("Subspaces are the columns of U in as many equal groups as there are heads") {
  Random random(1);
  const Matrix<double> u = draw_normal(random, 7, 15);
  const Subspaces subspaces(u, 3);
  CHECK(subspaces.dim() == 7);
  CHECK(subspaces.heads() == 3);
  CHECK(subspaces.head_dim() == 5);
  CHECK(subspaces.bases() == u);
  CHECK(subspaces.basis(0) == u.leftCols(5));
  CHECK(subspaces.basis(1) == u.middleCols(5, 5));
  CHECK(subspaces.basis(2) == u.rightCols(5));
}

TEST_CASE("Subspaces of a matrix own it, subspaces of a map view it") {
  Matrix<float> u = Matrix<float>::Ones(2, 4);
  const Subspaces owned(u, 2);
  const Subspaces viewed(Eigen::Map<const Matrix<float>>(u.data(), 2, 4), 2);
  u(1, 3) = 5;
  CHECK(owned.basis(1)(1, 1) == 1);
  CHECK(viewed.basis(1)(1, 1) == 5);
}

TEST_CASE("Subspaces of an expression own what it evaluates to") {
  const Matrix<double> u = Matrix<double>::Ones(2, 4);
  const Subspaces subspaces(3 * u, 4);
  static_assert(std::is_same_v<decltype(subspaces), const Subspaces<Matrix<double>>>);
  CHECK(subspaces.bases() == Matrix<double>::Constant(2, 4, 3));
}

TEST_CASE("Subspaces can be written through") {
  Subspaces subspaces(Matrix<double>(Matrix<double>::Zero(3, 4)), 2);
  subspaces.basis(1).setOnes();
  CHECK(subspaces.bases().leftCols(2).isZero(0));
  CHECK(subspaces.bases().rightCols(2) == Matrix<double>::Ones(3, 2));
}

TEST_CASE("Subspaces refuse a number of heads that does not divide the columns of U") {
  const Matrix<double> u = Matrix<double>::Ones(3, 10), none(3, 0);
  const auto message = [](const Matrix<double>& bases, Index heads) {
    return message_of<ShapeError>([&] { Subspaces(bases, heads); });
  };
  const std::string expected = "subspaces: expected a positive number of heads that divides the ";
  CHECK(message(u, 3) == expected + "10 columns of U, found 3");
  CHECK(message(u, 0) == expected + "10 columns of U, found 0");
  CHECK(message(u, -5) == expected + "10 columns of U, found -5");
  CHECK(message(u, 20) == expected + "10 columns of U, found 20");
  CHECK(message(none, 1) == "subspaces: expected at least 1 x 1, found 3 x 0");
  CHECK(message(none.transpose(), 1) == "subspaces: expected at least 1 x 1, found 0 x 3");
}
