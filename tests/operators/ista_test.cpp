// SPDX-License-Identifier: MIT
#include "crate/operators/ista.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"
#include "drawn_tokens.hpp"

using namespace crate;
using namespace crate::test;

namespace {

TokensAndDictionary draw_tokens_and_complete_dictionary(Random& random) {
  const Index d = draw_index(random, 1, 11);
  return {draw_normal(random, d, draw_index(random, 1, 14)),
          draw_normal(random, d, d) / std::sqrt(static_cast<double>(d))};
}

Matrix<double> soft_threshold(const Matrix<double>& x, double level) {
  return x.unaryExpr([level](double v) { return v > level ? v - level : v < -level ? v + level : 0.0; });
}

}  // namespace

TEST_CASE("An ISTA step by hand") {
  // D = [1 1; 0 1], Z = [2; -1]: Z - D Z = [1; 0], D^T of it = [1; 1]; with eta = 2 and lambda = 1/2: [4; 1] - 1.
  const Matrix<double> dictionary{{1, 1}, {0, 1}}, z{{2}, {-1}};
  CHECK(ista(z, dictionary, {.step = 2, .lambda = 0.5}) == Matrix<double>{{3}, {0}});
  CHECK(ista(z, dictionary, {.step = 2, .lambda = 1.5}) == Matrix<double>{{1}, {0}});
  CHECK(ista(z, dictionary, {.step = 1, .lambda = 0.5, .threshold = Threshold::soft}) == Matrix<double>{{2.5}, {0}});
}

TEST_CASE("An ISTA step is its formula") {
  for_random_draws(30, [](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_complete_dictionary(random);
    const double step = random.uniform(0, 2), lambda = random.uniform(0, 1);
    const Matrix<double> moved = z + step * dictionary.transpose() * (z - dictionary * z);
    CHECK(relative_error(ista(z, dictionary, {.step = step, .lambda = lambda}),
                         (moved.array() - step * lambda).max(0).matrix()) < 1e-12);
    CHECK(relative_error(ista(z, dictionary, {.step = step, .lambda = lambda, .threshold = Threshold::soft}),
                         soft_threshold(moved, step * lambda)) < 1e-12);
  });
}

TEST_CASE("Sizes beyond a piece of a product make no difference to ISTA") {
  Random random(1);
  for (const auto& [d, n] : {std::pair<Index, Index>{97, 33}, {96, 257}, {200, 300}}) {
    const Matrix<double> z = draw_normal(random, d, n), dictionary = draw_normal(random, d, d) / 10;
    const Matrix<double> moved = z + 0.1 * dictionary.transpose() * (z - dictionary * z);
    CHECK(relative_error(ista(z, dictionary), (moved.array() - 0.01).max(0).matrix()) < 1e-13);
    const Matrix<double> mapped = (1 + 4 / 18.0) * dictionary.transpose() * z;
    CHECK(relative_error(ista(z, dictionary, {.rule = SparsifyRule::majorisation_minimisation}),
                         (mapped.array() - 0.4 / 9).max(0).matrix()) < 1e-13);
  }
}

TEST_CASE("Without a step ISTA is the ReLU, with a soft threshold the identity") {
  for_random_draws(5, [](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_complete_dictionary(random);
    CHECK(ista(z, dictionary, {.step = 0, .lambda = 0}) == z.cwiseMax(0));
    CHECK(ista(z, dictionary, {.step = 0, .lambda = 5}) == z.cwiseMax(0));
    CHECK(ista(z, dictionary, {.step = 0, .lambda = 5, .threshold = Threshold::soft}) == z);
  });
}

TEST_CASE("A large lambda leaves nothing, exactly") {
  for_random_draws(5, [](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_complete_dictionary(random);
    for (const auto threshold : {Threshold::non_negative, Threshold::soft})
      CHECK(ista(z, dictionary, {.step = 0.1, .lambda = 1e6, .threshold = threshold}).isZero(0));
  });
}

TEST_CASE("An ISTA step within 1 / ||D||^2 does not raise the LASSO objective") {
  for_random_draws(300, [](Random& random) {
    auto [z, dictionary] = draw_tokens_and_complete_dictionary(random);
    const double lambda = random.uniform(0, 2);
    for (const auto threshold : {Threshold::non_negative, Threshold::soft}) {
      if (threshold == Threshold::non_negative) z = z.cwiseMax(0);  // feasible
      const double before = lasso_objective(z, dictionary, z, lambda);
      for (const double share : {random.uniform(), 1.0}) {
        const Matrix<double> codes = ista(
            z, dictionary, {.step = share * largest_safe_step(dictionary), .lambda = lambda, .threshold = threshold});
        INFO("step = " << share << " / ||D||^2, lambda = " << lambda);
        CHECK(lasso_objective(z, dictionary, codes, lambda) <= before * (1 + 1e-13));
      }
    }
  });
}

TEST_CASE("ISTA steps far beyond 2 / ||D||^2 do raise the LASSO objective") {
  int raised = 0;
  for_random_draws(50, [&](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_complete_dictionary(random);
    const Matrix<double> codes =
        ista(z, dictionary, {.step = 100 * largest_safe_step(dictionary), .lambda = 0.1, .threshold = Threshold::soft});
    raised += lasso_objective(z, dictionary, codes, 0.1) > lasso_objective(z, dictionary, z, 0.1);
  });
  CHECK(raised > 40);
}

TEST_CASE("With an orthogonal dictionary and a unit step ISTA thresholds the analysis coefficients") {
  // D^T D = I: Z + D^T (Z - D Z) = D^T Z, the exact minimiser's argument.
  for_random_draws(10, [](Random& random) {
    const Index d = draw_index(random, 1, 9);
    const Matrix<double> z = draw_normal(random, d, 4), dictionary = draw_orthonormal(random, d, d);
    const Matrix<double> codes = ista(z, dictionary, {.step = 1, .lambda = 0.3, .threshold = Threshold::soft});
    CHECK(relative_error(codes, soft_threshold(dictionary.transpose() * z, 0.3)) < 1e-12);
  });
}

TEST_CASE("Feasible tokens that the dictionary reproduces are a fixed point of ISTA without sparsity") {
  for_random_draws(5, [](Random& random) {
    const Index d = draw_index(random, 1, 9);
    const Matrix<double> z = draw_normal(random, d, 4), identity = Matrix<double>::Identity(d, d);
    CHECK(ista(z.cwiseAbs(), identity, {.step = 0.7, .lambda = 0}) == z.cwiseAbs());
    CHECK(ista(z, identity, {.step = 0.7, .lambda = 0, .threshold = Threshold::soft}) == z);
  });
}

TEST_CASE("The majorisation-minimisation step by hand") {
  // alpha = 1/3: gain 1 + 4 / (9 * 4/3) = 4/3; lambda = 3/4: threshold 4 * 3/4 / (9/3) = 1;
  // D^T Z = [1 0; 2 1] [3; -6] = [3; 0].
  const Matrix<double> dictionary{{1, 2}, {0, 1}}, z{{3, 3}, {-6, 0}};
  IstaOptions options{.lambda = 0.75, .rule = SparsifyRule::majorisation_minimisation, .alpha = 1 / 3.0};
  CHECK(relative_error(ista(z, dictionary, options), Matrix<double>{{3, 3}, {0, 7}}) < rounding<double>);
  options.threshold = Threshold::soft;
  CHECK(relative_error(ista(-z, dictionary, options), Matrix<double>{{-3, -3}, {0, -7}}) < rounding<double>);
}

TEST_CASE("The LASSO objective by hand") {
  // Z - D A = [1; 2] - [3; 0] = [-2; 2]: 1/2 * 8 + 0.5 * (|3| + |-1|).
  const Matrix<double> z{{1}, {2}}, dictionary{{1, 0}, {0, 0}}, codes{{3}, {-1}};
  CHECK(lasso_objective(z, dictionary, codes, 0.5) == 6);
  CHECK(lasso_objective(z.cast<float>(), dictionary.cast<float>(), codes.cast<float>(), 0.5) == 6);
}

TEST_CASE("ISTA of float tokens is that of the same tokens in double") {
  for_random_draws(10, [](Random& random) {
    const auto [z, dictionary] = draw_tokens_and_complete_dictionary(random);
    for (const auto rule : {SparsifyRule::proximal_gradient, SparsifyRule::majorisation_minimisation}) {
      const Matrix<double> found = ista(z.cast<float>(), dictionary.cast<float>(), {.rule = rule}).cast<double>();
      CHECK((found - ista(z, dictionary, {.rule = rule})).norm() < rounding<float> * z.norm());
    }
  });
}

namespace {

/// Holds a step and its adjoint in S against their formulas in Wide, entry by entry within the roundings of sums so
/// long, whichever way they are computed.
template <class S, class Wide>
void check_within_rounding(Random& random, Index d, Index n) {
  CAPTURE(d, n);
  const Matrix<S> z = draw_normal(random, d, n).template cast<S>(),
                  cotangent = draw_normal(random, d, n).template cast<S>(),
                  dictionary = (draw_normal(random, d, d) / std::sqrt(static_cast<double>(d))).template cast<S>();
  using Exact = Eigen::Matrix<Wide, Eigen::Dynamic, Eigen::Dynamic>;
  const IstaOptions options{.step = 0.25, .lambda = 0.5};
  const auto eta = static_cast<Wide>(options.step), level = static_cast<Wide>(options.step * options.lambda);
  const Exact x = z.template cast<Wide>(), dic = dictionary.template cast<Wide>();
  const Exact sizes =
      Exact::Identity(d, d) + eta * dic.cwiseAbs().transpose() * (Exact::Identity(d, d) + dic.cwiseAbs());
  const auto unit = static_cast<Wide>(std::numeric_limits<S>::epsilon()) / 2;
  const Wide roundings = unit * static_cast<Wide>(2 * d + 8);

  const Matrix<S> result = ista(z, dictionary, options);
  const Exact moved = x + eta * dic.transpose() * (x - dic * x);
  const Exact error = result.template cast<Wide>() - (moved.array() - level).max(0).matrix();
  CHECK((error.cwiseAbs() - roundings * (sizes * x.cwiseAbs()) - Exact::Constant(d, n, unit * level)).maxCoeff() <= 0);

  const auto gradient = ista_adjoint(z, dictionary, cotangent, options);
  const Exact g = (result.array() != 0).select(cotangent.template cast<Wide>(), Wide(0));
  const Exact expanded = dic * g, m = g.cwiseAbs() * x.cwiseAbs().transpose();
  const Exact by_tokens = gradient.tokens.template cast<Wide>() - (g + eta * (expanded - dic.transpose() * expanded));
  CHECK((by_tokens.cwiseAbs() - roundings * (sizes.transpose() * g.cwiseAbs())).maxCoeff() <= 0);
  const Exact by_dictionary =
      gradient.dictionary.template cast<Wide>() - eta * ((x - dic * x) * g.transpose() - expanded * x.transpose());
  const Wide longer = unit * static_cast<Wide>(n + 2 * d + 8);
  CHECK((by_dictionary.cwiseAbs() - longer * eta * (m.transpose() + dic.cwiseAbs() * (m + m.transpose()))).maxCoeff() <=
        0);
}

}  // namespace

TEST_CASE("An ISTA step of few tokens or, by its matrix, of many, and the adjoint, are within the bound of rounding") {
  Random random(7);
  for (const Index d : {Index{1}, Index{2}, Index{9}, Index{50}})
    for (const Index n : {Index{1}, d / 2, d / 2 + 1, 3 * d + 1})
      if (n > 0) {
        check_within_rounding<float, double>(random, d, n);
        check_within_rounding<double, long double>(random, d, n);
      }
  check_within_rounding<float, double>(random, 130, 700);
}

TEST_CASE("ISTA takes expressions, blocks, maps and row-major dictionaries") {
  Random random(4);
  const Matrix<double> z = draw_normal(random, 5, 8), dictionary = draw_normal(random, 5, 5), twice = 2 * z;
  const RowMajorMatrix<double> z_by_rows = z, dictionary_by_rows = dictionary;
  for (const auto rule : {SparsifyRule::proximal_gradient, SparsifyRule::majorisation_minimisation}) {
    const IstaOptions options{.rule = rule};
    const Matrix<double> expected = ista(z, dictionary, options);
    CHECK(ista(2 * z, dictionary, options) == ista(twice, dictionary, options));
    CHECK(relative_error(ista(z, dictionary_by_rows, options), expected) < rounding<double>);
    CHECK(relative_error(ista(z_by_rows, dictionary.transpose().transpose(), options), expected) < rounding<double>);
    CHECK(relative_error(ista(z, 1 * dictionary, options), expected) < rounding<double>);
    CHECK(relative_error(ista(z.leftCols(3), Eigen::Map<const Matrix<double>>(dictionary.data(), 5, 5), options),
                         expected.leftCols(3)) < rounding<double>);
  }
  Matrix<double> in_place = z;
  in_place = ista(in_place, dictionary);
  CHECK(in_place == ista(z, dictionary));
}

TEST_CASE("Tokens of a bounded number, of more coordinates than that, have the room that an ISTA step takes") {
  using Bounded = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor, 6, 4>;
  Random random(1);
  const Matrix<double> tokens = draw_normal(random, 6, 4), dictionary = draw_normal(random, 6, 6);
  const Bounded bounded = tokens;
  CHECK(relative_error(ista(bounded, dictionary), ista(tokens, dictionary)) < 1e-13);
  const auto found = ista_adjoint(bounded, dictionary, bounded);
  const auto expected = ista_adjoint(tokens, dictionary, tokens);
  CHECK(relative_error(found.tokens, expected.tokens) < 1e-12);
  CHECK(relative_error(found.dictionary, expected.dictionary) < 1e-12);
}

TEST_CASE("ISTA refuses what it cannot mean") {
  const Matrix<double> z = Matrix<double>::Ones(4, 2), dictionary = Matrix<double>::Ones(4, 4);
  CHECK(message_of<ShapeError>([&] { (void)ista(z, dictionary.topRows(3)); }) ==
        "ISTA: dictionary: expected 4 x 4, found 3 x 4");
  CHECK(message_of<ShapeError>([&] { (void)ista(z, dictionary.leftCols(3)); }) ==
        "ISTA: dictionary: expected 4 x 4, found 4 x 3");
  CHECK(message_of<OptionError>([&] { (void)ista(z, dictionary, {.step = -0.1}); }) ==
        "option: expected a finite ISTA step >= 0, found -0.1");
  CHECK(message_of<OptionError>([&] { (void)ista(z, dictionary, {.lambda = -1}); }) ==
        "option: expected a finite ISTA lambda >= 0, found -1");
  CHECK(message_of<OptionError>([&] {
          (void)ista(z, dictionary, {.lambda = std::numeric_limits<double>::quiet_NaN()});
        }) == "option: expected a finite ISTA lambda >= 0, found nan");
  CHECK(message_of<OptionError>([&] {
          (void)ista(z, dictionary, {.step = std::numeric_limits<double>::infinity()});
        }) == "option: expected a finite ISTA step >= 0, found inf");
  CHECK(message_of<OptionError>([&] {
          (void)ista(z, dictionary, {.rule = SparsifyRule::majorisation_minimisation, .alpha = 0});
        }) == "option: expected a finite ISTA alpha > 0, found 0");
  CHECK(message_of<ShapeError>([&] { (void)lasso_objective(z, dictionary, z.topRows(3), 1); }) ==
        "LASSO: dictionary: expected 4 x 3, found 4 x 4");
  CHECK(message_of<ShapeError>([&] { (void)lasso_objective(z, dictionary, z.leftCols(1), 1); }) ==
        "LASSO: columns of the codes: expected 2, found 1");
}
