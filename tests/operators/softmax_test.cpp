// SPDX-License-Identifier: MIT
#include "crate/operators/softmax.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

TEST_CASE("Softmax by hand") {
  const Matrix<double> logits{{0, std::log(3.0), 7}, {0, 0, 7 + std::log(4.0)}};
  CHECK(relative_error(softmax_columns(logits), Matrix<double>{{0.5, 0.75, 0.2}, {0.5, 0.25, 0.8}}) < rounding<double>);
}

TEST_CASE("Each column of a softmax is positive and sums to one") {
  for_random_draws(20, [](Random& random) {
    const Matrix<double> x = 3 * draw_normal(random, draw_index(random, 1, 40), draw_index(random, 1, 9));
    const Matrix<double> s = softmax_columns(x);
    CHECK((s.array() > 0).all());
    CHECK(relative_error(s.colwise().sum(), Matrix<double>::Ones(1, x.cols())) < rounding<double>);
  });
}

TEST_CASE("Adding a constant to a column changes nothing of its softmax, scaled logits sharpen it") {
  for_random_draws(20, [](Random& random) {
    const Matrix<double> x = draw_normal(random, draw_index(random, 2, 12), draw_index(random, 1, 9));
    const Matrix<double> shifts = draw_normal(random, 1, x.cols());
    const Matrix<double> s = softmax_columns(x), sharper = softmax_columns(2 * x);
    CHECK(relative_error(softmax_columns(x + shifts.replicate(x.rows(), 1)), s) < rounding<double>);
    CHECK((sharper.colwise().maxCoeff().array() > s.colwise().maxCoeff().array()).all());
  });
}

TEMPLATE_TEST_CASE("Huge logits do not overflow", "", float, double) {
  const TestType huge = std::sqrt(std::numeric_limits<TestType>::max());
  const Matrix<TestType> x{{huge, -huge, 0}, {huge, huge, -huge}, {0, huge, -huge}};
  const Matrix<TestType> half{{TestType(0.5), 0, 1}, {TestType(0.5), TestType(0.5), 0}, {0, TestType(0.5), 0}};
  CHECK(relative_error(softmax_columns(x), half) < rounding<TestType>);
}

TEST_CASE("Softmax of float logits, expressions, blocks and row-major matrices is that of plain double ones") {
  Random random(2);
  const Matrix<double> x = draw_normal(random, 7, 5), twice = 2 * x, part = x.block(1, 1, 4, 3);
  const RowMajorMatrix<double> by_rows = x;
  CHECK(relative_error(softmax_columns(x.cast<float>()), softmax_columns(x)) < rounding<float>);
  CHECK(softmax_columns(2 * x) == softmax_columns(twice));
  CHECK(relative_error(softmax_columns(x.block(1, 1, 4, 3)), softmax_columns(part)) < rounding<double>);
  CHECK(relative_error(softmax_columns(by_rows), softmax_columns(x)) < rounding<double>);
}

TEST_CASE("Softmax refuses a matrix without entries") {
  CHECK(message_of<ShapeError>([] { (void)softmax_columns(Matrix<double>(0, 3)); }) ==
        "softmax: logits: expected at least 1 x 1, found 0 x 3");
}
