// SPDX-License-Identifier: MIT
#include "crate/operators/coding_rate.hpp"

#include <Eigen/LU>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/testing/finite_difference.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

// The definitions, through LU, so that nothing is shared with the operator.
double rate_of_token_gram(const Matrix<double>& z, double epsilon) {
  const double a = static_cast<double>(z.rows()) / (static_cast<double>(z.cols()) * epsilon * epsilon);
  return 0.5 * std::log((Matrix<double>::Identity(z.cols(), z.cols()) + a * z.transpose() * z).determinant());
}

double rate_of_coordinate_gram(const Matrix<double>& z, double epsilon) {
  const double a = static_cast<double>(z.rows()) / (static_cast<double>(z.cols()) * epsilon * epsilon);
  return 0.5 * std::log((Matrix<double>::Identity(z.rows(), z.rows()) + a * z * z.transpose()).determinant());
}

}  // namespace

TEST_CASE("The coding rate is the determinant of either Gram form") {
  for_random_draws(40, [](Random& random) {
    const Matrix<double> z = draw_normal(random, draw_index(random, 1, 15), draw_index(random, 1, 15));
    const double epsilon = random.uniform(0.2, 2);
    const double rate = coding_rate(z, {.epsilon = epsilon});
    CHECK(relative_error(rate, rate_of_token_gram(z, epsilon)) < 1e-11);
    CHECK(relative_error(rate, rate_of_coordinate_gram(z, epsilon)) < 1e-11);
  });
}

TEST_CASE("The coding rate by hand") {
  // N = 2, d = 2, epsilon = 1: a = 1, so R = 1/2 log((1 + 3^2) (1 + 1)).
  CHECK(relative_error(coding_rate(Eigen::Matrix2d{{3, 0}, {0, 1}}, {.epsilon = 1}), 0.5 * std::log(20.0)) < 1e-15);
  CHECK(coding_rate(Matrix<double>::Zero(5, 3)) == 0);
  CHECK(rate_factor(6, 3, 0.5) == 8);
}

TEST_CASE("Orthogonal tokens have the coding rate of their lengths") {
  for_random_draws(20, [](Random& random) {
    const Index d = draw_index(random, 1, 12), n = draw_index(random, 1, d);
    const double length = random.uniform(0.1, 5), epsilon = random.uniform(0.2, 2);
    const Matrix<double> z = length * draw_orthonormal(random, d, n);
    const double a = rate_factor(d, n, epsilon), count = static_cast<double>(n);
    CHECK(relative_error(coding_rate(z, {.epsilon = epsilon}), count / 2 * std::log(1 + a * length * length)) < 1e-12);
  });
}

TEST_CASE("The coding rate is unchanged by permuting and by rotating the tokens") {
  for_random_draws(20, [](Random& random) {
    const Index d = draw_index(random, 1, 12), n = draw_index(random, 1, 12);
    const Matrix<double> z = draw_normal(random, d, n);
    const double rate = coding_rate(z);
    CHECK(relative_error(coding_rate(z * draw_permutation(random, n)), rate) < 1e-12);
    CHECK(relative_error(coding_rate(draw_orthonormal(random, d, d) * z), rate) < 1e-12);
  });
}

TEST_CASE("The coding rate is unchanged by scaling tokens and precision alike, and by repeating the tokens") {
  for_random_draws(20, [](Random& random) {
    const Matrix<double> z = draw_normal(random, draw_index(random, 1, 12), draw_index(random, 1, 12));
    const double scale = random.uniform(0.1, 9);
    const double rate = coding_rate(z, {.epsilon = 0.7});
    CHECK(relative_error(coding_rate(scale * z, {.epsilon = scale * 0.7}), rate) < 1e-12);
    CHECK(relative_error(coding_rate(z.replicate(1, 3), {.epsilon = 0.7}), rate) < 1e-12);
  });
}

TEST_CASE("The coding rate lies between zero and its bounds, and falls with coarser precision") {
  for_random_draws(40, [](Random& random) {
    const Index d = draw_index(random, 1, 12), n = draw_index(random, 1, 12);
    const Matrix<double> z = draw_normal(random, d, n);
    const double epsilon = random.uniform(0.1, 2), energy = rate_factor(d, n, epsilon) * z.squaredNorm();
    const double rate = coding_rate(z, {.epsilon = epsilon}), slack = 1 + 1e-12;
    CHECK(rate >= 0);
    CHECK(rate <= energy / 2 * slack);  // log(1 + x) <= x
    const auto rank = static_cast<double>(std::min(d, n));
    CHECK(rate <= rank / 2 * std::log(1 + energy / rank) * slack);  // log is concave
    CHECK(coding_rate(z, {.epsilon = 1.1 * epsilon}) < rate);
  });
}

TEST_CASE("More tokens of the same kind never code to less than the mean of their parts") {
  // log det is concave: with equal halves, R([Z1 Z2]) >= (R(Z1) + R(Z2)) / 2.
  for_random_draws(40, [](Random& random) {
    const Index d = draw_index(random, 1, 12), n = draw_index(random, 1, 9);
    const Matrix<double> z = draw_normal(random, d, 2 * n);
    CHECK(coding_rate(z) >= (coding_rate(z.leftCols(n)) + coding_rate(z.rightCols(n))) / 2 - 1e-12);
  });
}

TEST_CASE("The gradient of the coding rate agrees with finite differences") {
  for_random_draws(12, [](Random& random) {
    const double scale = random.uniform(0.2, 2), epsilon = random.uniform(0.4, 2);
    const Matrix<double> z = scale * draw_normal(random, draw_index(random, 1, 7), draw_index(random, 1, 7));
    const auto found = testing::check_gradient(
        "dR/dZ", [&](const Matrix<double>& x) { return coding_rate(x, {.epsilon = epsilon}); }, z,
        coding_rate_gradient(z, {.epsilon = epsilon}));
    INFO(found.report);
    CHECK(found.holds);
  });
  const Matrix<double> tiny = 1e-4 * Matrix<double>::Ones(3, 5), zero = Matrix<double>::Zero(4, 2);
  CHECK(testing::check_gradient(
      "tiny", [](const auto& x) { return coding_rate(x); }, tiny, coding_rate_gradient(tiny)));
  CHECK(testing::check_gradient(
      "zero", [](const auto& x) { return coding_rate(x); }, zero, coding_rate_gradient(zero)));
}

TEST_CASE("A check of a wrong gradient fails and says where") {
  Random random(1);
  const Matrix<double> z = draw_normal(random, 3, 4);
  Matrix<double> wrong = coding_rate_gradient(z);
  wrong(2, 1) += 1e-3;
  const auto found = testing::check_gradient(
      "dR/dZ", [](const auto& x) { return coding_rate(x); }, z, wrong);
  CHECK(!found.holds);
  CHECK_THAT(found.report, Catch::Matchers::ContainsSubstring("(2, 1)"));
  wrong(2, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK(!testing::check_gradient(
      "dR/dZ", [](const auto& x) { return coding_rate(x); }, z, wrong));
}

TEST_CASE("Hundreds of tokens, summed by the piece, have the coding rate and gradient of their definition") {
  Random random(6);
  for (const Index n : {255, 256, 257, 600}) {
    const Matrix<double> z = draw_normal(random, 5, n);
    const double a = rate_factor(5, n, 0.5);
    CHECK(relative_error(coding_rate(z), rate_of_coordinate_gram(z, 0.5)) < 1e-12);
    CHECK(relative_error(coding_rate_gradient(z),
                         a * (Matrix<double>::Identity(5, 5) + a * z * z.transpose()).inverse() * z) < 1e-12);
    CHECK(relative_error(coding_rate_gradient(z.cast<float>()), coding_rate_gradient(z)) < rounding<float>);
  }
}

TEST_CASE("The coding rate of float tokens is that of the same tokens in double") {
  // The factorisation is in double whatever the scalar, so only the input is rounded: here not even that.
  Random random(3);
  for (const auto& [d, n] : {std::pair<Index, Index>{6, 9}, {9, 6}}) {
    const Matrix<float> z = draw_normal(random, d, n).cast<float>();
    const Matrix<double> wide = z.cast<double>();
    CHECK(relative_error(coding_rate(z), coding_rate(wide)) < rounding<double>);
    CHECK(relative_error(coding_rate_gradient(z), coding_rate_gradient(wide)) < rounding<float>);
  }
}

TEST_CASE("The coding rate takes expressions, blocks, maps and row-major tokens") {
  Random random(4);
  const Matrix<double> z = draw_normal(random, 5, 8), twice = 2 * z, part = z.block(1, 2, 3, 4);
  const RowMajorMatrix<double> by_rows = z;
  CHECK(coding_rate(2 * z) == coding_rate(twice));
  CHECK(coding_rate(z.block(1, 2, 3, 4)) == coding_rate(part));
  CHECK(coding_rate(Eigen::Map<const Matrix<double>>(z.data(), 5, 8)) == coding_rate(z));
  CHECK(relative_error(coding_rate(by_rows), coding_rate(z)) < rounding<double>);
  CHECK(relative_error(coding_rate_gradient(by_rows), coding_rate_gradient(z)) < rounding<double>);
  CHECK(coding_rate_gradient(2 * z) == coding_rate_gradient(twice));
  CHECK(coding_rate_gradient(z.block(1, 2, 3, 4)) == coding_rate_gradient(part));
}

TEST_CASE("The coding rate takes a token, or the tokens' only coordinate, as a vector") {
  // Eigen's rankUpdate reads a row vector as a column: the Gram matrix was written beyond its end.
  Random random(5);
  const Vector<double> token = draw_normal(random, 7, 1);
  const Eigen::RowVectorXd coordinate = token.transpose();
  const Eigen::Matrix<double, 7, 1> fixed = token;
  const double of_token = 0.5 * std::log(1 + 28 * token.squaredNorm()),
               of_coordinate = 0.5 * std::log(1 + 4 * token.squaredNorm() / 7);
  CHECK(relative_error(coding_rate(token), of_token) < rounding<double>);
  CHECK(relative_error(coding_rate(fixed), of_token) < rounding<double>);
  CHECK(relative_error(coding_rate(coordinate), of_coordinate) < rounding<double>);
  CHECK(relative_error(coding_rate_gradient(token), coding_rate_gradient(Matrix<double>(token))) < rounding<double>);
  CHECK(relative_error(coding_rate_gradient(coordinate), coding_rate_gradient(Matrix<double>(coordinate))) <
        rounding<double>);
}

TEST_CASE("The coding rate refuses what it cannot mean") {
  const Matrix<double> z = Matrix<double>::Ones(3, 2), no_tokens(3, 0), no_coordinates(0, 3);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(message_of<OptionError>([&] { (void)coding_rate(z, {.epsilon = 0}); }) ==
        "option: expected epsilon > 0, found 0");
  CHECK(message_of<OptionError>([&] { (void)coding_rate_gradient(z, {.epsilon = -2}); }) ==
        "option: expected epsilon > 0, found -2");
  CHECK(message_of<OptionError>([&] { (void)coding_rate(z, {.epsilon = nan}); }) ==
        "option: expected epsilon > 0, found nan");
  CHECK(message_of<ShapeError>([&] { (void)coding_rate(no_tokens); }) ==
        "coding rate: tokens: expected at least 1 x 1, found 3 x 0");
  CHECK(message_of<ShapeError>([&] { (void)coding_rate_gradient(no_coordinates); }) ==
        "coding rate: tokens: expected at least 1 x 1, found 0 x 3");
}
