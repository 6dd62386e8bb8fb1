// SPDX-License-Identifier: MIT
// Cholesky factors by vectors: of every order and instruction set, by the equations that define them.

#include "crate/operators/detail/cholesky.hpp"

#include <limits>

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"
#include "kernels/use_instruction_set.hpp"

using namespace crate;
using namespace crate::test;

namespace {

/// Checks the factor of a random M = W W^T, not a number above its diagonal, with `below` rows B under it.
void check_factor(Random& random, Index order, Index below, Index block) {
  CAPTURE(order, below, block);
  const Matrix<double> w = draw_normal(random, order, order + 3), b = draw_normal(random, below, order);
  const Matrix<double> m = w * w.transpose();
  Matrix<double> factor(order + below, order);
  factor << m, b;
  factor.topRows(order).triangularView<Eigen::StrictlyUpper>().setConstant(std::numeric_limits<double>::quiet_NaN());
  Vector<double> excess(order);
  REQUIRE(detail::cholesky_in_place<double>(detail::view_of<double>(factor), excess.data(), block));
  const Matrix<double> l = factor.topRows(order).triangularView<Eigen::Lower>();
  const double tolerance = static_cast<double>(order + 8) * std::numeric_limits<double>::epsilon();
  CHECK(relative_error(l * l.transpose(), Matrix<double>(m + Matrix<double>::Identity(order, order))) < tolerance);
  if (below > 0) CHECK(relative_error(factor.bottomRows(below) * l.transpose(), b) < 10 * tolerance);
  CHECK(relative_error(excess, Vector<double>(l.diagonal().array().square() - 1)) < 10 * tolerance);
}

}  // namespace

TEST_CASE("A Cholesky factor of I + M times its transpose is I + M, and rows below are solved by it") {
  for (const InstructionSet set : supported_instruction_sets()) {
    CAPTURE(name_of(set));
    const UseInstructionSet chosen(set);
    Random random(1);
    for (Index order = 1; order <= 40; ++order)
      for (const Index below : {0, 1, 8}) check_factor(random, order, below, detail::factor_block);
    for (const Index order : {64, 197, 256, 257, 300})
      for (const Index below : {0, 8}) check_factor(random, order, below, detail::factor_block);
    for (const Index block : {1, 7, 16}) check_factor(random, 61, 8, block);
  }
}

TEST_CASE("A matrix that is not positive definite, or not finite, has no Cholesky factor, wherever that shows") {
  for (const InstructionSet set : supported_instruction_sets()) {
    CAPTURE(name_of(set));
    const UseInstructionSet chosen(set);
    for (const Index order : {1, 6, 9, 33})
      for (Index at = 0; at < order; ++at)
        for (const double number : {-1.0, -2.0, std::numeric_limits<double>::quiet_NaN()}) {
          Matrix<double> m = Matrix<double>::Zero(order, order);
          m(at, at) = number;
          Vector<double> excess(order);
          CAPTURE(order, at, number);
          CHECK_FALSE(detail::cholesky_in_place<double>(detail::view_of<double>(m), excess.data(), 256));
        }
  }
}

TEST_CASE("A Cholesky factor keeps what is small beside 1") {
  for (const InstructionSet set : supported_instruction_sets()) {
    const UseInstructionSet chosen(set);
    Random random(2);
    const Matrix<double> w = 1e-10 * draw_normal(random, 20, 30);
    Matrix<double> m = w * w.transpose();
    const Vector<double> diagonal = m.diagonal();
    Vector<double> excess(20);
    REQUIRE(detail::cholesky_in_place<double>(detail::view_of<double>(m), excess.data(), 256));
    CHECK(relative_error(excess, diagonal) < 1e-15);
  }
}
