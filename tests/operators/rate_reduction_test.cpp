// SPDX-License-Identifier: MIT
#include "crate/operators/rate_reduction.hpp"

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/testing/finite_difference.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

TEST_CASE("Rate reduction is the rate less the subspace rate") {
  for_random_draws(20, [](Random& random) {
    const auto [d, n, heads, p] = draw_sizes(random);
    const Matrix<double> z = draw_normal(random, d, n);
    const Subspaces u(draw_normal(random, d, heads * p), heads);
    CHECK(rate_reduction(z, u, {.epsilon = 0.9}) ==
          coding_rate(z, {.epsilon = 0.9}) - subspace_coding_rate(z, u, {.epsilon = 0.9}));
  });
}

TEST_CASE("Sparse rate reduction counts non-zero entries, or sums their absolute values") {
  const Matrix<double> z{{0, -3}, {2, 0}, {0, 0.5}};
  const Subspaces u(Matrix<double>(Matrix<double>::Ones(3, 2)), 2);
  const double reduction = rate_reduction(z, u, {.epsilon = 0.7});
  CHECK(sparse_rate_reduction(z, u, {.epsilon = 0.7, .lambda = 0.2}) == reduction - 0.2 * 3);
  CHECK(sparse_rate_reduction(z, u, {.epsilon = 0.7, .lambda = 0.2, .norm = SparsityNorm::l1}) ==
        reduction - 0.2 * 5.5);
  CHECK(sparse_rate_reduction(z, u, {.epsilon = 0.7, .lambda = 0}) == reduction);
}

TEST_CASE("The gradients of rate reduction agree with finite differences") {
  for_random_draws(8, [](Random& random) {
    const Index d = draw_index(random, 1, 6), heads = draw_index(random, 1, 3);
    const Matrix<double> z = draw_normal(random, d, draw_index(random, 1, 7));
    const Subspaces u(draw_normal(random, d, heads * draw_index(random, 1, 4)), heads);
    const CodingRateOptions options{.epsilon = random.uniform(0.7, 2)};
    const auto gradient = rate_reduction_gradient(z, u, options);
    const auto by_tokens = testing::check_gradient(
        "d Delta R/dZ", [&](const Matrix<double>& x) { return rate_reduction(x, u, options); }, z, gradient.tokens);
    const auto by_bases = testing::check_gradient(
        "d Delta R/dU", [&](const Matrix<double>& x) { return rate_reduction(z, Subspaces(x, heads), options); },
        u.bases(), gradient.bases);
    INFO(by_tokens.report << "\n" << by_bases.report);
    CHECK(by_tokens.holds);
    CHECK(by_bases.holds);
  });
}

TEST_CASE("The gradients of sparse rate reduction agree with finite differences away from zero entries") {
  for_random_draws(8, [](Random& random) {
    const Index d = draw_index(random, 1, 6), heads = draw_index(random, 1, 3);
    Matrix<double> z = draw_normal(random, d, draw_index(random, 1, 7));
    z += 0.1 * z.cwiseSign();  // no entry within a step of the kink of |z|
    const Subspaces u(draw_normal(random, d, heads * draw_index(random, 1, 4)), heads);
    for (const SparsityNorm norm : {SparsityNorm::l0, SparsityNorm::l1}) {
      const SparseRateReductionOptions options{.epsilon = random.uniform(0.7, 2), .lambda = 0.3, .norm = norm};
      const auto gradient = sparse_rate_reduction_gradient(z, u, options);
      const auto by_tokens = testing::check_gradient(
          "by Z", [&](const Matrix<double>& x) { return sparse_rate_reduction(x, u, options); }, z, gradient.tokens);
      const auto by_bases = testing::check_gradient(
          "by U", [&](const Matrix<double>& x) { return sparse_rate_reduction(z, Subspaces(x, heads), options); },
          u.bases(), gradient.bases);
      INFO(by_tokens.report << "\n" << by_bases.report);
      CHECK(by_tokens.holds);
      CHECK(by_bases.holds);
    }
  });
}

TEST_CASE("The l1 norm pulls on an entry that is exactly zero in neither direction") {
  const Matrix<double> z{{0, 1}, {-1, 0}};
  const Subspaces u(Matrix<double>(Matrix<double>::Identity(2, 2)), 2);
  const Matrix<double> pull = rate_reduction_gradient(z, u).tokens -
                              sparse_rate_reduction_gradient(z, u, {.lambda = 0.25, .norm = SparsityNorm::l1}).tokens;
  CHECK(relative_error(pull, Matrix<double>{{0, 0.25}, {-0.25, 0}}) < rounding<double>);
}

TEST_CASE("A kink within the step of a finite difference shows in the report as two slopes") {
  const Matrix<double> at_kink{{0.5, 0}}, slopes{{1, 1}};
  const auto found = testing::check_gradient(
      "||x||_1", [](const auto& x) { return x.cwiseAbs().sum(); }, at_kink, slopes);
  CHECK(!found.holds);
  CHECK_THAT(found.report, Catch::Matchers::ContainsSubstring("slopes to the left and right -1 and 1"));
}

TEST_CASE("Rate reduction of float tokens, of expressions and of viewed subspaces is that of plain double matrices") {
  Random random(5);
  const Matrix<float> z = draw_normal(random, 6, 9).cast<float>(), bases = draw_normal(random, 6, 8).cast<float>();
  const Subspaces u(bases, 2);
  const Subspaces wide(bases.cast<double>(), 2);
  const Subspaces viewed(Eigen::Map<const Matrix<float>>(bases.data(), 6, 8), 2);
  CHECK(relative_error(rate_reduction(z, u), rate_reduction(z.cast<double>(), wide)) < rounding<float>);
  CHECK(rate_reduction(z, viewed) == rate_reduction(z, u));
  CHECK(rate_reduction(1 * z, u) == rate_reduction(z, u));
  CHECK(sparse_rate_reduction(1 * z, viewed) == sparse_rate_reduction(z, u));
  const SparseRateReductionOptions l1{.norm = SparsityNorm::l1};
  const auto gradient = sparse_rate_reduction_gradient(1 * z, viewed, l1);
  const auto wide_gradient = sparse_rate_reduction_gradient(z.cast<double>(), wide, l1);
  CHECK(relative_error(gradient.tokens, wide_gradient.tokens) < 4 * rounding<float>);
  CHECK(relative_error(gradient.bases, wide_gradient.bases) < 4 * rounding<float>);
}

TEST_CASE("Rate reduction refuses what it cannot mean") {
  const Matrix<double> z = Matrix<double>::Ones(3, 2);
  const Subspaces u(Matrix<double>(Matrix<double>::Ones(3, 6)), 2),
      wrong(Matrix<double>(Matrix<double>::Ones(5, 6)), 2);
  CHECK(message_of<OptionError>([&] { (void)rate_reduction(z, u, {.epsilon = 0}); }) ==
        "coding rate: expected epsilon > 0, found 0");
  CHECK(message_of<OptionError>([&] { (void)sparse_rate_reduction(z, u, {.lambda = -1}); }) ==
        "option: expected a finite lambda >= 0 of the sparse rate reduction, found -1");
  CHECK(message_of<OptionError>([&] { (void)sparse_rate_reduction_gradient(z, u, {.epsilon = -1}); }) ==
        "coding rate: expected epsilon > 0, found -1");
  CHECK(message_of<ShapeError>([&] { (void)rate_reduction_gradient(z, wrong); }) ==
        "subspaces: expected U with 3 rows, as the tokens have, found 5");
  CHECK(message_of<ShapeError>([&] { (void)sparse_rate_reduction(z, wrong); }) ==
        "subspaces: expected U with 3 rows, as the tokens have, found 5");
}
