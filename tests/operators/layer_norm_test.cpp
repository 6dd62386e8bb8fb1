// SPDX-License-Identifier: MIT
#include "crate/operators/layer_norm.hpp"

#include <cmath>

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

Matrix<double> standardised(const Matrix<double>& z, double epsilon = 0) {
  return layer_norm(z, Vector<double>::Ones(z.rows()), Vector<double>::Zero(z.rows()), {.epsilon = epsilon});
}

}  // namespace

TEST_CASE("Layer norm by hand") {
  // Mean 3, variance 4, with epsilon 5: 1 / sqrt(9). The variance is divided by d = 2.
  const Matrix<double> z{{1}, {5}};
  const Vector<double> weight{{3, 6}}, bias{{10, 20}};
  CHECK(relative_error(layer_norm(z, weight, bias, {.epsilon = 5}), Matrix<double>{{8}, {24}}) < rounding<double>);
}

TEST_CASE("Without weight and bias each normalised token has mean 0 and variance 1") {
  for_random_draws(20, [](Random& random) {
    const Matrix<double> z = 3 * draw_normal(random, draw_index(random, 2, 30), draw_index(random, 1, 9));
    const Matrix<double> normalised = standardised(z);
    CHECK(normalised.colwise().mean().norm() < 1e-13);
    CHECK(relative_error(normalised.colwise().squaredNorm() / static_cast<double>(z.rows()),
                         Matrix<double>::Ones(1, z.cols())) < 1e-13);
  });
}

TEST_CASE("Shifting and scaling a token changes nothing of its layer norm, a sign flips it") {
  for_random_draws(20, [](Random& random) {
    const Matrix<double> z = draw_normal(random, draw_index(random, 2, 30), draw_index(random, 1, 9));
    const Matrix<double> normalised = standardised(z);
    CHECK(relative_error(standardised((z.array() + 5).matrix()), normalised) < 1e-12);
    CHECK(relative_error(standardised(7 * z), normalised) < 1e-13);
    CHECK(relative_error(standardised(-7 * z), -normalised) < 1e-13);
    CHECK(relative_error(standardised(4 * z, 16e-5), standardised(z, 1e-5)) < 1e-13);
  });
}

TEST_CASE("Weight and bias act on each coordinate after normalising") {
  for_random_draws(20, [](Random& random) {
    const Matrix<double> z = draw_normal(random, draw_index(random, 1, 30), draw_index(random, 1, 9));
    const Vector<double> weight = draw_normal(random, z.rows(), 1), bias = draw_normal(random, z.rows(), 1);
    const Matrix<double> expected = (weight.asDiagonal() * standardised(z, 1e-5)).colwise() + bias;
    CHECK(relative_error(layer_norm(z, weight, bias), expected) < 1e-13);
  });
}

TEST_CASE("A constant token is normalised to the bias") {
  const Vector<double> weight{{3, 6, 1}}, bias{{10, 20, 30}};
  CHECK(layer_norm(Matrix<double>::Constant(3, 2, 7), weight, bias) == bias.replicate(1, 2));
}

TEST_CASE("A large common offset costs no more than its own rounding") {
  // Two passes: the variance comes from differences to the mean, not from a difference of large squares.
  Random random(1);
  const Matrix<double> z = draw_normal(random, 16, 3);
  const Matrix<float> offset = (z.array() + 4096).matrix().cast<float>();
  CHECK(relative_error(standardised(offset.cast<double>(), 1e-5),
                       layer_norm(offset, Vector<float>::Ones(16), Vector<float>::Zero(16))) < 4096 * rounding<float>);
}

TEST_CASE("Layer norm of float tokens, expressions, blocks and row-major tokens is that of plain double ones") {
  Random random(4);
  const Matrix<double> z = draw_normal(random, 5, 8), twice = 2 * z;
  const Vector<double> weight = draw_normal(random, 5, 1), bias = draw_normal(random, 5, 1);
  const RowMajorMatrix<double> by_rows = z;
  const Matrix<double> expected = layer_norm(z, weight, bias);
  CHECK(relative_error(layer_norm(z.cast<float>(), weight.cast<float>(), bias.cast<float>()), expected) <
        rounding<float>);
  CHECK(layer_norm(2 * z, weight, bias) == layer_norm(twice, weight, bias));
  CHECK(relative_error(layer_norm(by_rows, 1 * weight, -(-bias)), expected) < rounding<double>);
  CHECK(relative_error(layer_norm(z.rightCols(3), weight, bias), expected.rightCols(3)) < rounding<double>);
  CHECK(layer_norm(Eigen::Map<const Matrix<double>>(z.data(), 5, 8), Matrix<double>(weight), bias) == expected);
}

TEST_CASE("Layer norm refuses what it cannot mean") {
  const Matrix<double> z = Matrix<double>::Ones(4, 2), none(0, 2);
  const Vector<double> ones = Vector<double>::Ones(4);
  CHECK(message_of<ShapeError>([&] { (void)layer_norm(z, ones.head(3), ones); }) ==
        "layer norm: weight: expected 4 x 1, found 3 x 1");
  CHECK(message_of<ShapeError>([&] { (void)layer_norm(z, ones, ones.transpose()); }) ==
        "layer norm: bias: expected 4 x 1, found 1 x 4");
  CHECK(message_of<ShapeError>([&] { (void)layer_norm(none, ones, ones); }) ==
        "layer norm: tokens: expected at least 1 x 1, found 0 x 2");
  CHECK(message_of<OptionError>([&] { (void)layer_norm(z, ones, ones, {.epsilon = -1}); }) ==
        "option: expected a finite layer norm epsilon >= 0, found -1");
  CHECK_THROWS_AS(layer_norm(z, ones, ones, {.epsilon = std::numeric_limits<double>::infinity()}), OptionError);
}
