// SPDX-License-Identifier: MIT
#include "crate/operators/coding_rate.hpp"

#include <Eigen/Cholesky>
#include <Eigen/LU>
#include <Eigen/SVD>
#include <algorithm>
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

TEST_CASE("Rows and diagonals of matrices of a fixed size are tokens as any others") {
  Random random(1);
  const Eigen::Matrix3d z = draw_normal(random, 3, 3);
  const Matrix<double> row = z.row(1), diagonal = z.diagonal();
  CHECK(relative_error(coding_rate(z.row(1)), coding_rate(row)) < 1e-14);
  CHECK(relative_error(coding_rate(z.diagonal()), coding_rate(diagonal)) < 1e-14);
  CHECK(relative_error(coding_rate_gradient(z.row(1)), coding_rate_gradient(row)) < 1e-14);
}

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
        "coding rate: expected epsilon > 0, found 0");
  CHECK(message_of<OptionError>([&] { (void)coding_rate_gradient(z, {.epsilon = -2}); }) ==
        "coding rate: expected epsilon > 0, found -2");
  CHECK(message_of<OptionError>([&] { (void)coding_rate(z, {.epsilon = nan}); }) ==
        "coding rate: expected epsilon > 0, found nan");
  CHECK(message_of<OptionError>([&] { (void)coding_rate(z, {.epsilon = std::numeric_limits<double>::infinity()}); }) ==
        "coding rate: expected a finite epsilon of at least 2.3e-308, found inf");
  CHECK(message_of<ShapeError>([&] { (void)coding_rate(no_tokens); }) ==
        "coding rate: tokens: expected at least 1 x 1, found 3 x 0");
  CHECK(message_of<ShapeError>([&] { (void)coding_rate_gradient(no_coordinates); }) ==
        "coding rate: tokens: expected at least 1 x 1, found 0 x 3");
  CHECK(message_of<OptionError>([] { (void)rate_factor(3, 0, 0.5); }) ==
        "rate factor: expected at least 1 x 1 tokens, found 3 x 0");
  CHECK(message_of<OptionError>([] { (void)rate_factor(3, 2, 0); }) == "rate factor: expected epsilon > 0, found 0");
}

namespace {

/// 1/2 sum log(1 + a s^2) by singular values in long double: nothing cancels, and nothing overflows.
double rate_of_singular_values(const Matrix<double>& z, double epsilon) {
  using Wide = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
  const auto root = std::sqrt(static_cast<long double>(z.rows()) / static_cast<long double>(z.cols())) / epsilon;
  const Wide scaled = root * z.cast<long double>();
  long double rate = 0;
  const Eigen::JacobiSVD<Wide> svd(scaled);
  for (const long double s : svd.singularValues()) rate += std::log1p(s * s) / 2;
  return static_cast<double>(rate);
}

/// Integers, so that sums and products of a few are exact.
Matrix<double> draw_integers(Random& random, Index rows, Index cols, double most) {
  return (most * draw_normal(random, rows, cols)).array().round();
}

}  // namespace

// Cholesky's info() was not looked at: two equal tokens (1e7, 2e7) at epsilon = 0.01 had R = 64.6 for 21.87, as I + a
// Z^T Z in double has lost its smallest eigenvalue.
TEST_CASE("Equal tokens have the coding rate and gradient of their closed form at every size that is coded") {
  for (const double size : {1e-9, 1e-3, 1.0, 1e3, 1e4, 1e5, 1e6, 1e7, 3e7})
    for (const Index copies : {2, 3, 7}) {
      const Vector<double> token = size * Vector<double>{{1, 2, -3}};
      const Matrix<double> z = token.replicate(1, copies);
      const double a = rate_factor(3, copies, 0.01), square = a * static_cast<double>(copies) * token.squaredNorm();
      INFO("size " << size << ", copies " << copies);
      CHECK(relative_error(coding_rate(z, {.epsilon = 0.01}), 0.5 * std::log1p(square)) < 1e-11);
      CHECK(relative_error(coding_rate_gradient(z, {.epsilon = 0.01}), a / (1 + square) * z) < 1e-9);
      const Matrix<float> narrow = z.cast<float>();
      const double narrow_square = a * narrow.cast<double>().squaredNorm();
      CHECK(relative_error(coding_rate(narrow, {.epsilon = 0.01}), 0.5 * std::log1p(narrow_square)) < 1e-11);
      CHECK(relative_error(coding_rate_gradient(narrow, {.epsilon = 0.01}), a / (1 + narrow_square) * narrow) < 1e-3);
    }
}

TEST_CASE("Tokens of any rank have the coding rate of their singular values, to 1e-10 of it") {
  for_random_draws(60, [](Random& random) {
    const Index d = draw_index(random, 1, 8), n = draw_index(random, 1, 12),
                rank = draw_index(random, 1, std::min(d, n));
    const Matrix<double> z = draw_integers(random, d, rank, 1000) * draw_integers(random, rank, n, 1000);
    const double epsilon = std::pow(10.0, random.uniform(-1, 7));
    INFO("d " << d << ", N " << n << ", rank " << rank << ", epsilon " << epsilon);
    CHECK(relative_error(coding_rate(z, {.epsilon = epsilon}), rate_of_singular_values(z, epsilon)) < 1e-10);
  });
}

TEST_CASE("The coding rate is right or refused where tokens are far above, or far below, epsilon") {
  Random random(8);
  const Matrix<double> full = draw_normal(random, 3, 5), flat = draw_normal(random, 3, 1) * draw_normal(random, 1, 5);
  for (const double size : {1e-160, 1e-100, 1e-20, 1e-8, 1.0, 1e8, 1e20, 1e100, 1e150})
    for (const Matrix<double>& shape : {full, flat})
      for (const double epsilon : {size, 1e-3 * size, 1e3 * size, 0.5}) {
        INFO("size " << size << ", epsilon " << epsilon);
        const Matrix<double> z = size * shape;
        try {
          const double rate = coding_rate(z, {.epsilon = epsilon});
          const double expected = rate_of_singular_values(z, epsilon);
          CHECK(std::abs(rate - expected) <= 1e-8 * expected + std::numeric_limits<double>::min());
        } catch (const PrecisionError& refusal) {
          CHECK(size / epsilon > 1e10);
          CHECK_THAT(refusal.what(), Catch::Matchers::ContainsSubstring("times epsilon = "));
        }
      }
  CHECK(relative_error(coding_rate(1e100 * full, {.epsilon = 0.5}), rate_of_singular_values(1e100 * full, 0.5)) <
        1e-12);
  CHECK_THROWS_AS(coding_rate(1e100 * flat, {.epsilon = 0.5}), PrecisionError);
  CHECK_THROWS_AS(coding_rate_gradient(1e100 * flat, {.epsilon = 0.5}), PrecisionError);
}

TEST_CASE(
    "Of nearly dependent tokens, too, the coding rate is unchanged by rotation and repetition, and falls with "
    "epsilon") {
  for_random_draws(20, [](Random& random) {
    const Index d = draw_index(random, 2, 8), n = draw_index(random, 2, 8);
    const Matrix<double> z = 1e6 * draw_integers(random, d, 1, 9) * draw_integers(random, 1, n, 9);
    Matrix<double> repeated(d, 2 * n), turned = z.colwise().reverse();
    repeated << z, z;
    const double rate = coding_rate(z, {.epsilon = 0.1});
    CHECK(relative_error(coding_rate(repeated, {.epsilon = 0.1}), rate) < 1e-11);
    CHECK(relative_error(coding_rate(turned, {.epsilon = 0.1}), rate) < 1e-11);
    CHECK(relative_error(coding_rate(z.transpose(), {.epsilon = 0.1 * static_cast<double>(n) / static_cast<double>(d)}),
                         rate) < 1e-11);
    if (rate > 0) CHECK(coding_rate(z, {.epsilon = 0.11}) < rate);
  });
}

TEST_CASE("Tokens that are not finite have no coding rate") {
  Matrix<double> z = Matrix<double>::Ones(3, 4);
  z(1, 2) = std::numeric_limits<double>::quiet_NaN();
  CHECK(message_of<PrecisionError>([&] { (void)coding_rate(z); }) ==
        "coding rate: expected finite tokens, found nan or infinity");
  CHECK_THROWS_AS(coding_rate_gradient(z), PrecisionError);
}

TEST_CASE("Gram matrices of more than a block of columns give rate and gradient by their formulas") {
  Random random(11);
  for (const Index n : {31, 32, 33, 64, 97})
    for (const bool wide : {true, false}) {
      const Matrix<double> z = wide ? draw_normal(random, n, n + 40) : draw_normal(random, n + 40, n);
      const double a = rate_factor(z.rows(), z.cols(), 0.7);
      const Matrix<double> gram = Matrix<double>::Identity(z.rows(), z.rows()) + a * z * z.transpose();
      const Eigen::LLT<Matrix<double>> factor(gram);
      const double rate = Matrix<double>(factor.matrixL()).diagonal().array().log().sum();
      INFO(z.rows() << " x " << z.cols());
      CHECK(relative_error(coding_rate(z, {.epsilon = 0.7}), rate) < 1e-12);
      CHECK(relative_error(coding_rate_gradient(z, {.epsilon = 0.7}), a * factor.solve(z)) < 1e-12);
      const Matrix<float> narrow = z.cast<float>();
      CHECK(relative_error(coding_rate(narrow, {.epsilon = 0.7}), rate) < 1e-6);
      CHECK(relative_error(coding_rate_gradient(narrow, {.epsilon = 0.7}), a * factor.solve(z)) < 1e-5);
    }
}

TEST_CASE("The rate of short tokens needs no more than double") {
  for_random_draws(20, [](Random& random) {
    for (const double size : {1e-100, 1e-8, 1e-3}) {
      const Matrix<double> z = size * draw_normal(random, draw_index(random, 1, 40), draw_index(random, 1, 40));
      const detail::Estimate rate = detail::regularised_gram(z, 1.0).rate(detail::rate_tolerance<double>);
      INFO("size " << size);
      CHECK(rate.within(detail::rate_tolerance<double>));
      if (size < 1e-6) CHECK(relative_error(rate.value, z.squaredNorm() / 2) < 1e-12);
    }
  });
}

TEST_CASE("The rate of tokens that are all zero is zero") {
  CHECK(coding_rate(Matrix<double>(Matrix<double>::Zero(300, 900))) == 0);
  CHECK(coding_rate(Matrix<float>(Matrix<float>::Zero(2, 3))) == 0);
}

TEST_CASE("The rate of float tokens, summed in float, is that of double up to their rounding, or summed in double") {
  for_random_draws(10, [](Random& random) {
    const Matrix<float> z = draw_normal(random, draw_index(random, 1, 70), draw_index(random, 1, 200)).cast<float>();
    for (const double size : {1e-30, 1e-3, 1.0, 1e3, 1e25}) {
      const Matrix<float> sized = static_cast<float>(size) * z;
      // Of one direction, with others far shorter, which float sums would lose.
      const Matrix<float> dependent = sized.col(0) * z.row(0) + 1e-5F * sized;
      for (const Matrix<float>& tokens : {sized, dependent}) {
        INFO(tokens.rows() << " x " << tokens.cols() << ", size " << size);
        const detail::RateScale scale{tokens.rows(), tokens.cols(), 0.5};
        const double error = relative_error(detail::rate_in_scalar(evaluated(tokens), scale), coding_rate(tokens));
        CHECK(error < (size == 1.0 && &tokens == &sized ? 1e-6 : 1e-4));
      }
    }
  });
  CHECK(detail::rate_in_scalar(evaluated(Matrix<float>(Matrix<float>::Zero(2, 3))), {2, 3, 0.5}) == 0);
}

TEST_CASE("The error that a rate summed in float states is no less than what it is, whatever the spectrum") {
  for_random_draws(20, [](Random& random) {
    const Index d = draw_index(random, 12, 60), count = draw_index(random, 12, 60);
    for (const double decades : {0.0, 3.0, 6.0}) {
      Matrix<double> z = draw_normal(random, d, count);
      for (Index i = 0; i < d; ++i)
        z.row(i) *= std::pow(10, -decades * static_cast<double>(i) / static_cast<double>(d));
      const Matrix<float> tokens = z.cast<float>();
      const detail::RateScale scale{d, count, 0.1};
      const auto rate = detail::regularised_gram<float>(tokens, scale.factor()).rate(0);
      INFO(d << " x " << count << ", " << decades << " decades");
      CHECK(std::abs(rate.value - coding_rate(tokens, {.epsilon = 0.1})) <= rate.error);
    }
  });
}

TEST_CASE("A rate summed in float is told to be exact enough of tokens far above epsilon that are independent") {
  for_random_draws(10, [](Random& random) {
    for (const Index count : {50, 200}) {
      const Matrix<float> tokens = draw_normal(random, 100, count).cast<float>();
      const detail::RateScale scale{100, count, 0.01};
      const auto rate = detail::regularised_gram<float>(tokens, scale.factor()).rate(1e-4);
      INFO(count << " tokens: " << rate.value << " +- " << rate.error);
      CHECK(rate.within(1e-4));
    }
  });
}

TEST_CASE("The rate of float tokens of nearly one direction, summed in float, is that of double") {
  for_random_draws(10, [](Random& random) {
    const Matrix<double> direction = draw_normal(random, 32, 1), noise = draw_normal(random, 32, 65);
    const Matrix<float> tokens =
        (direction.replicate(1, 65) + 1e-3 * noise).colwise().normalized().eval().cast<float>();
    CHECK(relative_error(detail::rate_in_scalar(evaluated(tokens), {32, 65, 0.5}), coding_rate(tokens)) < 1e-5);
  });
}

TEST_CASE("Float tokens that are not finite have no rate") {
  for (const float number : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Matrix<float> tokens = Matrix<float>::Ones(3, 5);
    tokens(1, 2) = number;
    CHECK_THROWS_AS(detail::rate_in_scalar(evaluated(tokens), {3, 5, 0.5}), PrecisionError);
  }
}
