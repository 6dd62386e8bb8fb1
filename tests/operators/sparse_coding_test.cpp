// SPDX-License-Identifier: MIT
#include "crate/operators/sparse_coding.hpp"

#include <cmath>

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"
#include "drawn_tokens.hpp"

using namespace crate;
using namespace crate::test;

namespace {

/// Dictionaries of fewer and of more atoms than dimensions.
TokensAndDictionary draw_tokens_and_dictionary(Random& random) {
  const Index d = draw_index(random, 1, 9);
  return {draw_normal(random, d, draw_index(random, 1, 11)),
          draw_normal(random, d, draw_index(random, 1, 20)) / std::sqrt(static_cast<double>(d))};
}

}  // namespace

TEST_CASE("The first sparse code is the thresholded analysis") {
  // D^T Z = [1 0; 2 1; 0 -1] [2; 1] = [2; 5; -1]; eta = 2, lambda = 1: [4; 10; -2] - 2.
  const Matrix<double> dictionary{{1, 2, 0}, {0, 1, -1}}, z{{2}, {1}};
  CHECK(sparse_code(z, dictionary, {.step = 2, .lambda = 1, .steps = 1}) == Matrix<double>{{2}, {8}, {0}});
  CHECK(sparse_code(z, dictionary, {.step = 2, .lambda = 0.5, .steps = 1, .threshold = Threshold::soft}) ==
        Matrix<double>{{3}, {9}, {-1}});
}

TEST_CASE("The second sparse code corrects the first by its residual") {
  // From [2; 8; 0]: Z - D A = [2; 1] - [18; 8] = [-16; -7], D^T of it = [-16; -39; 7]; [2; 8; 0] + 2 (...) - 2.
  const Matrix<double> dictionary{{1, 2, 0}, {0, 1, -1}}, z{{2}, {1}};
  CHECK(sparse_code(z, dictionary, {.step = 2, .lambda = 1, .steps = 2}) == Matrix<double>{{0}, {0}, {12}});
}

TEST_CASE("Sparse codes are the iteration, step by step") {
  for_random_draws(30, [](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_dictionary(random);
    const double step = 0.9 * largest_safe_step(dictionary), lambda = random.uniform(0, 0.5);
    Matrix<double> codes = Matrix<double>::Zero(dictionary.cols(), z.cols());
    for (Index t = 1; t <= 6; ++t) {
      codes = (codes + step * dictionary.transpose() * (z - dictionary * codes)).eval();
      codes = (codes.array() - step * lambda).max(0).matrix().eval();
      CHECK(relative_error(sparse_code(z, dictionary, {.step = step, .lambda = lambda, .steps = t}), codes) < 1e-12);
    }
  });
}

TEST_CASE("With a safe step the LASSO objective falls from code to code") {
  for_random_draws(60, [](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_dictionary(random);
    const double lambda = random.uniform(0, 1), step = largest_safe_step(dictionary);
    for (const auto threshold : {Threshold::non_negative, Threshold::soft}) {
      double before = 0.5 * z.squaredNorm();  // of A^0 = 0
      for (Index t = 1; t <= 12; ++t) {
        const Matrix<double> codes =
            sparse_code(z, dictionary, {.step = step, .lambda = lambda, .steps = t, .threshold = threshold});
        const double objective = lasso_objective(z, dictionary, codes, lambda);
        INFO("step " << t);
        CHECK(objective <= before * (1 + 1e-13));
        before = objective;
      }
    }
  });
}

TEST_CASE("After many steps sparse codes satisfy the optimality conditions of the LASSO") {
  // With g = D^T (Z - D A): g = lambda sign(a) where a is not zero; g <= lambda where it is,
  // and |g| <= lambda if codes may have both signs.
  for_random_draws(10, [](Random& random) {
    const Index d = draw_index(random, 2, 7);
    const Matrix<double> z = draw_normal(random, d, 5);
    Matrix<double> dictionary =
        draw_orthonormal(random, d, d) + 0.2 * draw_normal(random, d, d) / static_cast<double>(d);
    const double step = largest_safe_step(dictionary), lambda = 0.3;
    for (const auto threshold : {Threshold::non_negative, Threshold::soft}) {
      const Matrix<double> codes =
          sparse_code(z, dictionary, {.step = step, .lambda = lambda, .steps = 3000, .threshold = threshold});
      const Matrix<double> g = dictionary.transpose() * (z - dictionary * codes);
      CHECK((codes.array() == 0).any());
      CHECK((codes.array() != 0).any());
      for (Index j = 0; j < codes.cols(); ++j)
        for (Index i = 0; i < codes.rows(); ++i) {
          INFO("code " << codes(i, j) << ", correlation " << g(i, j));
          if (codes(i, j) != 0) CHECK(std::abs(g(i, j) - std::copysign(lambda, codes(i, j))) < 1e-9);
          if (codes(i, j) == 0) CHECK((threshold == Threshold::soft ? std::abs(g(i, j)) : g(i, j)) <= lambda + 1e-9);
          if (threshold == Threshold::non_negative) CHECK(codes(i, j) >= 0);
        }
    }
  });
}

TEST_CASE("Zero tokens have zero codes, and a large lambda leaves nothing, exactly") {
  for_random_draws(5, [](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_dictionary(random);
    for (const auto threshold : {Threshold::non_negative, Threshold::soft}) {
      CHECK(sparse_code(0 * z, dictionary, {.lambda = 0, .steps = 4, .threshold = threshold}).isZero(0));
      CHECK(sparse_code(z, dictionary, {.lambda = 1e6, .steps = 4, .threshold = threshold}).isZero(0));
    }
  });
}

TEST_CASE("A token is coded alone: permuting tokens permutes codes") {
  for_random_draws(10, [](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_dictionary(random);
    const auto permutation = draw_permutation(random, z.cols());
    const SparseCodeOptions options{.lambda = 0.05, .steps = 3};
    CHECK(relative_error(sparse_code(z * permutation, dictionary, options),
                         sparse_code(z, dictionary, options) * permutation) < 1e-13);
  });
}

TEST_CASE("Codes of both signs over D are non-negative codes over [D, -D]") {
  for_random_draws(10, [](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_dictionary(random);
    const Index s = dictionary.cols();
    Matrix<double> both(z.rows(), 2 * s);
    both << dictionary, -dictionary;
    const SparseCodeOptions options{.step = 0.1, .lambda = 0.2, .steps = 1};
    SparseCodeOptions soft = options;
    soft.threshold = Threshold::soft;
    const Matrix<double> codes = sparse_code(z, both, options);
    CHECK(relative_error(codes.topRows(s) - codes.bottomRows(s), sparse_code(z, dictionary, soft)) < 1e-13);
  });
}

TEST_CASE("Sizes beyond a piece of a product make no difference to sparse codes") {
  Random random(1);
  const Matrix<double> z = draw_normal(random, 50, 270), dictionary = draw_normal(random, 50, 200) / 10;
  Matrix<double> codes = Matrix<double>::Zero(200, 270);
  for (int t = 0; t < 3; ++t) {
    codes = (codes + 0.1 * dictionary.transpose() * (z - dictionary * codes)).eval();
    codes = (codes.array() - 0.01).max(0).matrix().eval();
  }
  CHECK(relative_error(sparse_code(z, dictionary, {.steps = 3}), codes) < 1e-13);
}

TEST_CASE(
    "Sparse codes of float tokens, expressions, blocks and row-major dictionaries are those of plain double ones") {
  Random random(4);
  const Matrix<double> z = draw_normal(random, 5, 8), dictionary = draw_normal(random, 5, 12), twice = 2 * z;
  const RowMajorMatrix<double> z_by_rows = z, dictionary_by_rows = dictionary;
  const Matrix<double> expected = sparse_code(z, dictionary, {.steps = 3});
  CHECK(relative_error(sparse_code(z.cast<float>(), dictionary.cast<float>(), {.steps = 3}), expected) <
        4 * rounding<float>);
  CHECK(sparse_code(2 * z, dictionary) == sparse_code(twice, dictionary));
  CHECK(relative_error(sparse_code(z_by_rows, dictionary_by_rows, {.steps = 3}), expected) < rounding<double>);
  CHECK(relative_error(sparse_code(z.rightCols(3), 1 * dictionary, {.steps = 3}), expected.rightCols(3)) <
        rounding<double>);
  CHECK(relative_error(sparse_code(z, Eigen::Map<const Matrix<double>>(dictionary.data(), 5, 12), {.steps = 3}),
                       expected) < rounding<double>);
}

TEST_CASE("A dictionary of one atom may be a vector") {
  Random random(5);
  const Matrix<double> z = draw_normal(random, 5, 8), dictionary = draw_normal(random, 5, 1);
  const Vector<double> atom = dictionary;
  CHECK(relative_error(sparse_code(z, atom), sparse_code(z, dictionary)) < rounding<double>);
}

TEST_CASE("Sparse coding refuses what it cannot mean") {
  const Matrix<double> z = Matrix<double>::Ones(4, 2), dictionary = Matrix<double>::Ones(4, 7);
  CHECK(message_of<ShapeError>([&] { (void)sparse_code(z, dictionary.topRows(3)); }) ==
        "sparse code: rows of the dictionary: expected 4, found 3");
  CHECK(message_of<OptionError>([&] { (void)sparse_code(z, dictionary, {.step = -1}); }) ==
        "option: expected a finite sparse code step >= 0, found -1");
  CHECK(message_of<OptionError>([&] { (void)sparse_code(z, dictionary, {.lambda = -1}); }) ==
        "option: expected a finite sparse code lambda >= 0, found -1");
  CHECK_THROWS_AS(sparse_code(z, dictionary, {.lambda = std::numeric_limits<double>::infinity()}), OptionError);
  CHECK(message_of<OptionError>([&] { (void)sparse_code(z, dictionary, {.steps = 0}); }) ==
        "option: expected sparse code steps >= 1, found 0");
}
