// SPDX-License-Identifier: MIT
#include "crate/operators/positions.hpp"

#include <cmath>

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

TEST_CASE("a table stretched to another grid is what PyTorch's bicubic interpolation with the offset 0.1 gives") {
  Matrix<double> table(1, 7);
  table << -3, 0, 1, 4, 9, 16, 25;
  Matrix<double> expected(1, 21);
  expected << -3, -0.454393072861917, -0.262624617904281, 0.0632809134829613, 0.280641046591556, 0.427023906219095,
      1.11901272357716, 2.29502982860589, 3.07936519535762, 3.14688302848545, 4.66284882880381, 7.2391935139961,
      8.95746635620088, 10.3123823970962, 12.6967288284576, 16.748863945757, 19.451403619512, 15.9721400003075,
      18.9000235278001, 23.8758858878437, 27.1944981872589;
  CHECK(relative_error(interpolate_positions(table, 3, 2, 5, 4), expected) < 1e-13);
}

TEST_CASE("a table for the same grid stays, and a constant one stays constant on any grid") {
  const Matrix<double> table = Matrix<double>::Constant(3, 1 + 4 * 5, 0.7);
  CHECK(interpolate_positions(table, 4, 5, 4, 5) == table);
  CHECK(relative_error(interpolate_positions(table, 4, 5, 9, 2), Matrix<double>::Constant(3, 1 + 9 * 2, 0.7)) <
        rounding<double>);
}

TEST_CASE("the adjoint of stretching a table is its transpose") {
  for_random_draws(8, [](Random& random) {
    const Index rows = draw_index(random, 1, 5), columns = draw_index(random, 1, 5);
    const Index new_rows = draw_index(random, 1, 7), new_columns = draw_index(random, 1, 7);
    const Matrix<double> table = draw_normal(random, 2, 1 + rows * columns);
    const Matrix<double> cotangent = draw_normal(random, 2, 1 + new_rows * new_columns);
    const Matrix<double> by_table = interpolate_positions_adjoint(cotangent, rows, columns, new_rows, new_columns);
    const double forth =
        interpolate_positions(table, rows, columns, new_rows, new_columns).cwiseProduct(cotangent).sum();
    REQUIRE(by_table.cols() == table.cols());
    CHECK(std::abs(forth - table.cwiseProduct(by_table).sum()) < 1e-12 * table.norm() * cotangent.norm());
  });
}

TEST_CASE("fixed positions are unit circles: the column of the patch in the first half, its row in the second") {
  const Matrix<double> table = sin_cos_positions<double>(8, 2, 3);
  CHECK(table.col(0).isZero(0));
  for (Index patch = 0; patch < 6; ++patch) {
    const Index row = patch / 3, column = patch % 3;
    const double x = static_cast<double>(column), y = static_cast<double>(row);
    Vector<double> expected(8);
    expected << std::sin(x), std::sin(x / 100), std::cos(x), std::cos(x / 100), std::sin(y), std::sin(y / 100),
        std::cos(y), std::cos(y / 100);
    CHECK(relative_error(table.col(1 + patch), expected) < rounding<double>);
  }
}

TEST_CASE("tables of the wrong size and empty grids are refused") {
  CHECK(message_of<ShapeError>([] { (void)interpolate_positions(Matrix<float>(2, 6), 2, 3, 4, 4); }) ==
        "positions: columns of the table: expected 7, found 6");
  CHECK(message_of<OptionError>([] { (void)sin_cos_positions<float>(6, 2, 3); }) ==
        "sin-cos positions: expected dimension a positive multiple of 4, found 6");
}
