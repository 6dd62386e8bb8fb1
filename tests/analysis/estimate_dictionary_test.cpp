// SPDX-License-Identifier: MIT
#include "crate/analysis/estimate_dictionary.hpp"

#include <cmath>
#include <limits>

#include "catch.hpp"
#include "draw.hpp"

namespace {

using crate::Index;

/// min over A of ||Z - D A||^2 + t^2 ||A||_0, for orthonormal D.
double sparse_coding_objective(const Eigen::MatrixXd& tokens, const Eigen::MatrixXd& dictionary, double threshold) {
  const Eigen::MatrixXd codes = dictionary.transpose() * tokens;
  return codes.array().square().min(threshold * threshold).sum();
}

Eigen::MatrixXd draw_sparse_tokens(crate::Random& random, const Eigen::MatrixXd& dictionary, Index count) {
  Eigen::MatrixXd codes = Eigen::MatrixXd::Zero(dictionary.cols(), count);
  for (Index i = 0; i < codes.size(); ++i)
    if (random.uniform() < 0.15) codes(i) = random.normal();
  return dictionary * codes;
}

}  // namespace

TEST_CASE("the nearest orthogonal matrix is U V^T of the singular value decomposition") {
  crate::test::for_random_draws(10, [](crate::Random& random) {
    const Index dim = crate::test::draw_index(random, 1, 12);
    const Eigen::MatrixXd u = crate::test::draw_orthonormal(random, dim, dim),
                          v = crate::test::draw_orthonormal(random, dim, dim);
    crate::Vector<double> values(dim);
    for (double& value : values) value = std::pow(10, random.uniform(-8, 2));
    const Eigen::MatrixXd found = crate::detail::nearest_orthogonal<double>(u * values.asDiagonal() * v.transpose());
    REQUIRE((found.transpose() * found - Eigen::MatrixXd::Identity(dim, dim)).norm() < 1e-12);
    REQUIRE((found - u * v.transpose()).norm() <
            1e-5);  // the matrix determines it up to rounding over its least singular value
  });
}

TEST_CASE("principal directions are orthonormal and hold falling, uncorrelated energies") {
  crate::Random random(4);
  const Eigen::MatrixXd tokens = crate::test::draw_normal(random, 7, 7) * crate::test::draw_normal(random, 7, 50);
  crate::Threads alone;
  const Eigen::MatrixXd directions = crate::principal_directions(tokens, alone);
  const Eigen::MatrixXd codes = directions.transpose() * tokens, energies = codes * codes.transpose();
  const double rounding = 1e-12 * tokens.squaredNorm();
  for (Index i = 0; i < 7; ++i)
    for (Index j = 0; j < 7; ++j)
      if (i != j) REQUIRE(std::abs(energies(i, j)) < rounding);
  for (Index i = 1; i < 7; ++i) REQUIRE(energies(i, i) <= energies(i - 1, i - 1));
}

TEST_CASE("no turn of dictionary estimation raises its objective, and the dictionary stays orthonormal") {
  crate::test::for_random_draws(5, [](crate::Random& random) {
    const Eigen::MatrixXd truth = crate::test::draw_orthonormal(random, 9, 9);
    const Eigen::MatrixXd tokens =
        draw_sparse_tokens(random, truth, 300) + 0.02 * crate::test::draw_normal(random, 9, 300);
    double before = std::numeric_limits<double>::max();
    for (int iterations = 0; iterations < 12; ++iterations) {
      const Eigen::MatrixXd found = crate::estimate_dictionary(tokens, {.threshold = 0.1, .iterations = iterations});
      const double now = sparse_coding_objective(tokens, found, 0.1);
      REQUIRE((found.transpose() * found - Eigen::MatrixXd::Identity(9, 9)).norm() < 1e-12);
      REQUIRE(now <= before * (1 + 1e-6));  // the inertia of unused atoms
      before = now;
    }
  });
}

TEST_CASE("an estimated dictionary codes sparse tokens in fewer entries than principal components do") {
  crate::Random random(5);
  const Eigen::MatrixXd truth = crate::test::draw_orthonormal(random, 12, 12);
  const Eigen::MatrixXd tokens = draw_sparse_tokens(random, truth, 800);
  crate::Threads alone;
  const Eigen::MatrixXd estimated = crate::estimate_dictionary(tokens, {.threshold = 0.1});
  const double sparse = sparse_coding_objective(tokens, estimated, 0.1);
  REQUIRE(sparse < 0.9 * sparse_coding_objective(tokens, crate::principal_directions(tokens, alone), 0.1));
}

TEST_CASE("fewer tokens than dimensions, and dimensions without energy, leave the dictionary orthonormal") {
  Eigen::MatrixXd tokens = Eigen::MatrixXd::Random(20, 6);
  tokens.bottomRows(5).setZero();
  const Eigen::MatrixXd found = crate::estimate_dictionary(tokens, {.threshold = 0.2});
  REQUIRE((found.transpose() * found - Eigen::MatrixXd::Identity(20, 20)).norm() < 1e-11);
}

TEST_CASE("dictionary estimation refuses what it cannot do") {
  REQUIRE_THROWS_AS(crate::estimate_dictionary(Eigen::MatrixXd::Random(3, 5), {.threshold = -1}), crate::OptionError);
  REQUIRE_THROWS_AS(crate::estimate_dictionary(Eigen::MatrixXd::Random(3, 5), {.iterations = -1}), crate::OptionError);
  REQUIRE_THROWS_AS(crate::estimate_dictionary(Eigen::MatrixXd(3, 0)), crate::ShapeError);
  REQUIRE_THROWS_AS(crate::estimate_dictionary(Eigen::MatrixXd::Zero(3, 5)), crate::OptionError);
}

TEST_CASE("the dictionary of scaled tokens, at a threshold scaled alike, is the same") {
  crate::Random random(4);
  crate::Threads alone;
  const Eigen::MatrixXd tokens = draw_sparse_tokens(random, crate::test::draw_orthonormal(random, 6, 6), 80);
  const Eigen::MatrixXd found = crate::estimate_dictionary(tokens, {.threshold = 0.1});
  for (const int exponent : {-530, -1, 530}) {
    const double scale = std::ldexp(1.0, exponent);
    REQUIRE(crate::estimate_dictionary(scale * tokens, {.threshold = 0.1 * scale}) == found);
    REQUIRE(crate::principal_directions(scale * tokens, alone).allFinite());
  }
}
