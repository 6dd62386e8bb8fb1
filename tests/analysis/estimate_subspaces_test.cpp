// SPDX-License-Identifier: MIT
#include "crate/analysis/estimate_subspaces.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "draw.hpp"

namespace {

using crate::Index;

struct Mixture {
  crate::Subspaces<Eigen::MatrixXd> subspaces;
  Eigen::MatrixXd tokens;
};

Mixture draw_mixture(crate::Random& random, Index dim, Index subspaces, Index subspace_dim, Index tokens,
                     double noise) {
  Mixture mixture{crate::Subspaces<Eigen::MatrixXd>(Eigen::MatrixXd(dim, subspaces * subspace_dim), subspaces),
                  noise * crate::test::draw_normal(random, dim, tokens)};
  for (Index k = 0; k < subspaces; ++k)
    mixture.subspaces.basis(k) = crate::test::draw_orthonormal(random, dim, subspace_dim);
  for (Index i = 0; i < tokens; ++i)
    mixture.tokens.col(i) += mixture.subspaces.basis(i % subspaces) * crate::test::draw_normal(random, subspace_dim, 1);
  return mixture;
}

double worst_angle(const crate::Subspaces<Eigen::MatrixXd>& truth, const crate::Subspaces<Eigen::MatrixXd>& found) {
  double worst = 0;
  for (Index k = 0; k < truth.heads(); ++k) {
    double nearest = 90;
    for (Index j = 0; j < found.heads(); ++j)
      nearest = std::min(nearest, crate::largest_principal_angle(truth.basis(k), found.basis(j)));
    worst = std::max(worst, nearest);
  }
  return worst;
}

}  // namespace

TEST_CASE("the principal angle of lines is the angle between them, however small") {
  for (const double degrees : {0.0, 1e-6, 30.0, 90.0}) {
    const double radians = degrees * std::acos(-1.0) / 180;
    const Eigen::MatrixXd u = Eigen::Vector3d::UnitX(), v = Eigen::Vector3d(std::cos(radians), std::sin(radians), 0);
    // The sine of the angle is exact to a few units in the last place of cos and sin; asin at 1 loses half the digits.
    REQUIRE(crate::largest_principal_angle(u, v) == Approx(degrees).margin(degrees == 90 ? 1e-5 : 1e-13));
  }
}

TEST_CASE("tokens without noise give their subspaces back") {
  crate::test::for_random_draws(5, [](crate::Random& random) {
    const Mixture mixture = draw_mixture(random, 24, 4, 3, 400, 0);
    const auto found = crate::estimate_subspaces(mixture.tokens, {.subspaces = 4, .dim = 3});
    REQUIRE(worst_angle(mixture.subspaces, found.subspaces) < 1e-5);
    REQUIRE(found.residual < 1e-12);
  });
}

TEST_CASE("noise of a tenth of the signal turns estimated subspaces by less than ten degrees") {
  // The perturbation of a subspace fitted to n tokens is about sigma (sqrt(d) + sqrt(p)) / sqrt(n): here 4.5 degrees.
  crate::test::for_random_draws(10, [](crate::Random& random) {
    const Mixture mixture = draw_mixture(random, 48, 5, 3, 600, 0.1);
    const auto found = crate::estimate_subspaces(mixture.tokens, {.subspaces = 5, .dim = 3});
    REQUIRE(worst_angle(mixture.subspaces, found.subspaces) < 10);
  });
}

TEST_CASE("a search on part of the tokens finds the subspaces of all, in float as well") {
  crate::Random random(3);
  const Mixture mixture = draw_mixture(random, 32, 4, 3, 2000, 0.1);
  const crate::Matrix<float> tokens = mixture.tokens.cast<float>();
  const auto found = crate::estimate_subspaces(tokens, {.subspaces = 4, .dim = 3, .search_tokens = 300});
  REQUIRE(worst_angle(mixture.subspaces, crate::Subspaces<Eigen::MatrixXd>(found.subspaces.bases().cast<double>(), 4)) <
          6);
}

TEST_CASE(
    "estimated bases are orthonormal, members lie where most of their energy is, and the residual is what is left") {
  crate::Random random(1);
  const Mixture mixture = draw_mixture(random, 17, 3, 2, 150, 0.3);
  const auto found = crate::estimate_subspaces(mixture.tokens, {.subspaces = 3, .dim = 2, .restarts = 4});
  double outside = 0;
  for (Index k = 0; k < 3; ++k) {
    const Eigen::MatrixXd basis = found.subspaces.basis(k);
    REQUIRE((basis.transpose() * basis - Eigen::MatrixXd::Identity(2, 2)).norm() < 1e-13);
  }
  for (Index i = 0; i < mixture.tokens.cols(); ++i) {
    const auto token = mixture.tokens.col(i);
    const double own =
        (found.subspaces.basis(found.membership[static_cast<std::size_t>(i)]).transpose() * token).norm();
    for (Index k = 0; k < 3; ++k) REQUIRE((found.subspaces.basis(k).transpose() * token).norm() <= own + 1e-12);
    outside += token.squaredNorm() - own * own;
  }
  REQUIRE(found.residual == Approx(outside / mixture.tokens.squaredNorm()).epsilon(1e-10));
}

TEST_CASE("equal seeds give equal subspaces on any number of threads") {
  crate::Random random(2);
  const Mixture mixture = draw_mixture(random, 16, 3, 2, 200, 0.2);
  const auto alone = crate::estimate_subspaces(mixture.tokens, {.subspaces = 3, .dim = 2, .seed = 7});
  crate::Threads threads(3);
  const auto together = crate::estimate_subspaces(mixture.tokens, {.subspaces = 3, .dim = 2, .seed = 7}, threads);
  REQUIRE(alone.subspaces.bases() == together.subspaces.bases());
  REQUIRE(alone.residual == together.residual);
}

TEST_CASE("subspace estimation refuses what it cannot do") {
  const Eigen::MatrixXd tokens = Eigen::MatrixXd::Random(5, 40);
  REQUIRE_THROWS_AS(crate::estimate_subspaces(tokens, {.subspaces = 0}), crate::OptionError);
  REQUIRE_THROWS_AS(crate::estimate_subspaces(tokens, {.dim = 0}), crate::OptionError);
  REQUIRE_THROWS_AS(crate::estimate_subspaces(tokens, {.restarts = 0}), crate::OptionError);
  REQUIRE_THROWS_AS(crate::estimate_subspaces(tokens, {.subspaces = 2, .dim = 6}), crate::ShapeError);
  REQUIRE_THROWS_AS(crate::estimate_subspaces(tokens, {.subspaces = 21, .dim = 2}), crate::ShapeError);
  REQUIRE_THROWS_AS(crate::estimate_subspaces(Eigen::MatrixXd::Zero(5, 40), {}), crate::OptionError);
  Eigen::MatrixXd broken = tokens;
  broken(2, 3) = std::numeric_limits<double>::quiet_NaN();
  REQUIRE_THROWS_AS(crate::estimate_subspaces(broken, {.subspaces = 2, .dim = 2}), crate::PrecisionError);
}

TEST_CASE("subspaces of more dimensions than the tokens span, and equal tokens, do no harm") {
  const Eigen::MatrixXd equal = Eigen::MatrixXd::Ones(6, 30);
  const auto found = crate::estimate_subspaces(equal, {.subspaces = 3, .dim = 2});
  REQUIRE(found.subspaces.bases().allFinite());
  REQUIRE(found.residual < 1e-12);
}

// Squares of tokens of 1e-160 underflow: the residual was nan, or the tokens seemed to be zero.
TEST_CASE("subspaces, and what they hold, do not depend on the scale of the tokens") {
  crate::Random random(4);
  const Mixture mixture = draw_mixture(random, 8, 2, 2, 60, 0.1);
  const crate::SubspaceEstimationOptions options{.subspaces = 2, .dim = 2, .restarts = 4};
  const auto found = crate::estimate_subspaces(mixture.tokens, options);
  for (const int exponent : {-1000, -530, -1, 530, 1000}) {
    const auto scaled = crate::estimate_subspaces(std::ldexp(1.0, exponent) * mixture.tokens, options);
    REQUIRE(scaled.subspaces.bases() == found.subspaces.bases());
    REQUIRE(scaled.residual == found.residual);
  }
  const auto narrow = crate::estimate_subspaces(Eigen::MatrixXd(1e-30 * mixture.tokens).cast<float>(), options);
  REQUIRE(std::abs(narrow.residual - found.residual) < 1e-5);
}

TEST_CASE("numbers of subspaces and dimensions whose product overflows are refused") {
  REQUIRE_THROWS_AS(crate::estimate_subspaces(Eigen::MatrixXd::Ones(4, 40), {.subspaces = Index{1} << 62, .dim = 4}),
                    crate::ShapeError);
}
