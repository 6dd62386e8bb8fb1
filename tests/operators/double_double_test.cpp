// SPDX-License-Identifier: MIT
#include <Eigen/Core>
#include <cmath>

#include "catch.hpp"

// As clang's -fassociative-math says it, for what follows alone.
#ifdef __clang__
#pragma clang fp reassociate(on)
#endif
#include "crate/operators/detail/double_double.hpp"
#ifdef __clang__
#pragma clang fp reassociate(off)
#endif

namespace {

using crate::detail::DoubleDouble;

// Where sums may be taken in any order, (x + y) - x is y, and the lower half of each sum was zero.
TEST_CASE("numbers of twice the digits keep them where a compiler may take sums in any order") {
  volatile double one = 1, tiny = 0x1p-80, third = 1 / 3.0;  // unknown to the compiler
  const DoubleDouble sum = DoubleDouble(one) + DoubleDouble(tiny);
  CHECK(static_cast<double>(sum - DoubleDouble(one)) == 0x1p-80);
  const double x = third;
  CHECK(static_cast<double>(DoubleDouble(x) * DoubleDouble(x) - DoubleDouble(x * x)) == std::fma(x, x, -(x * x)));
  const DoubleDouble quotient = DoubleDouble(one) / DoubleDouble(3.0);
  CHECK(std::abs(static_cast<double>(quotient * DoubleDouble(3.0) - DoubleDouble(one))) < 0x1p-100);
}

}  // namespace
