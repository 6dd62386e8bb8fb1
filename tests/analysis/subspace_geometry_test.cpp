// SPDX-License-Identifier: MIT
// How subspaces and dictionaries lie, and what attention alone does to the signal of tokens in known subspaces.

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/analysis/compression_step.hpp"
#include "crate/analysis/signal_to_noise.hpp"
#include "crate/analysis/spread.hpp"
#include "crate/analysis/subspace_geometry.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using Catch::Approx;

TEST_CASE("orthogonal subspaces with orthonormal bases have no coherence, repeated ones all of it") {
  Random random(1);
  const Matrix<double> u = draw_orthonormal(random, 12, 6);
  const SubspaceCoherence apart = subspace_coherence(Subspaces(u, 3));
  CHECK(std::max(apart.within.largest, apart.between.largest) < 1e-12);
  Matrix<double> twice(12, 4);
  twice << u.leftCols(2), 3 * u.leftCols(2);
  const SubspaceCoherence same = subspace_coherence(Subspaces(twice, 2));
  CHECK(same.within.largest < 1e-12);
  CHECK(same.between.largest == Approx(1));
  CHECK(same.between.mean == Approx(0.5));  // two of four pairs
  CHECK(subspace_coherence(Subspaces(Matrix<double>(Matrix<double>::Zero(3, 2)), 1)).within.largest == 0);
}

TEST_CASE("the effective rank counts equal singular values, and is below the rank where they differ") {
  Random random(2);
  const Matrix<double> u = draw_orthonormal(random, 9, 4);
  CHECK(effective_rank(u) == Approx(4));
  CHECK(effective_rank(u * Vector<double>{{1., 1., 1e-9, 0.}}.asDiagonal()) == Approx(2).epsilon(1e-6));
  CHECK(effective_rank(Matrix<double>::Zero(3, 2)) == 0);
}

TEST_CASE("principal angles are the angles by which a basis was turned, small ones precisely") {
  Random random(3);
  const Matrix<double> q = draw_orthonormal(random, 10, 6);
  const double degree = std::numbers::pi / 180;
  const std::vector<double> turned{1e-7, 30, 80};
  Matrix<double> other(10, 3);
  for (Index i = 0; i < 3; ++i) {
    const double angle = turned[static_cast<std::size_t>(i)] * degree;
    other.col(i) = std::cos(angle) * q.col(i) + std::sin(angle) * q.col(3 + i);
  }
  const Matrix<double> mixed = other * draw_normal(random, 3, 3);  // another basis of the same space
  const std::vector<double> angles = principal_angles(q.leftCols(3), mixed);
  REQUIRE(angles.size() == 3);
  CHECK(angles[0] == Approx(1e-7).epsilon(1e-4));
  CHECK(angles[1] == Approx(30));
  CHECK(angles[2] == Approx(80));
  CHECK(principal_angles(q.leftCols(3), q.rightCols(2)).size() == 2);
  CHECK(principal_angles(q, Matrix<double>::Zero(10, 2)).empty());
  CHECK(principal_angles(q, Matrix<double>(10, 0)).empty());
  CHECK_THROWS_AS(principal_angles(q, mixed.topRows(9)), ShapeError);
}

TEST_CASE("an orthonormal dictionary of any scale is incoherent, a tight frame departs by its redundancy") {
  Random random(4);
  const Matrix<double> d = draw_orthonormal(random, 6, 6);
  const DictionaryIncoherence complete = dictionary_incoherence(3 * d);
  CHECK(complete.atoms.largest < 1e-12);
  CHECK(complete.departure < 1e-12);
  Matrix<double> frame(6, 12);
  frame << d, draw_orthonormal(random, 6, 6);
  CHECK(dictionary_incoherence(frame).departure == Approx(1));  // (s / d - 1)^{1/2}, s = 2 d
}

TEST_CASE("tokens are claimed by the head whose subspace holds them, and by none if none does") {
  Random random(5);
  const Subspaces u(draw_orthonormal(random, 7, 4), 2);
  Matrix<double> tokens = Matrix<double>::Zero(7, 3);
  tokens.col(0) = u.basis(1).col(0);
  tokens.col(1) = u.basis(0).col(1) + 0.5 * u.basis(1).col(1);
  const Matrix<double> shares = head_shares(tokens, u);
  CHECK(shares(0, 1) == Approx(0.8));
  CHECK(claiming_heads(shares) == std::vector<Index>{1, 0, -1});
  CHECK(projected_head_shares(Matrix<double>(u.bases().transpose() * tokens), 2) == shares);
  CHECK_THROWS_AS(projected_head_shares(tokens, 2), ShapeError);
}

TEST_CASE("attention alone multiplies the signal-to-noise ratio of every cluster by 1 + eta tau a layer") {
  Random random(6);
  const Subspaces u(draw_orthonormal(random, 160, 144), 3);
  const auto [tokens, clusters] = draw_clustered_tokens(u, 20, 0.2, random);
  const ThresholdedAttentionOptions options{.step = 0.5, .threshold = 0.75};
  const std::vector<double> before = signal_to_noise(tokens, u, clusters);
  Matrix<double> z = tokens;
  for (int layer = 1; layer <= 2; ++layer) {
    z = thresholded_attention_step(z, u, options);
    const std::vector<double> after = signal_to_noise(z, u, clusters);
    for (std::size_t k = 0; k < 3; ++k)
      CHECK(after[k] / before[k] == Approx(std::pow(1 + 0.5 * 0.75, layer)).epsilon(1e-9));
  }
  CHECK(before[0] == Approx(1 / (0.2 * std::sqrt(2))).epsilon(0.05));  // p signals beside 2 p of variance delta^2
}

TEST_CASE("tokens without noise have an infinite ratio, no tokens and tokens of zeros have 0") {
  const Subspaces u(Matrix<double>(Matrix<double>::Identity(4, 3)), 3);
  Matrix<double> tokens = Matrix<double>::Zero(4, 2);
  tokens(0, 0) = 2;
  CHECK(signal_to_noise(tokens, u, {0, 1}) == std::vector<double>{std::numeric_limits<double>::infinity(), 0, 0});
  CHECK_THROWS_AS(signal_to_noise(tokens, u, {0, 3}), OptionError);
  CHECK_THROWS_AS(signal_to_noise(tokens, u, {0}), ShapeError);
  tokens(1, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(signal_to_noise(tokens, u, {0, 1}), PrecisionError);
  CHECK_THROWS_AS(head_shares(tokens, u), PrecisionError);
}

TEST_CASE("the exact step goes straight down and lowers the rate, its reverse raises it, and no step is no change") {
  Random random(7);
  const Subspaces u(draw_normal(random, 8, 6), 3);
  const Matrix<double> z = draw_normal(random, 8, 11);
  const Matrix<double> down = -0.01 * subspace_coding_rate_gradient(z, u).tokens;
  const StepComparison exact = compare_with_exact_step(z, u, down);
  CHECK(exact.cosine == Approx(1));
  CHECK(exact.rate == subspace_coding_rate(z, u));
  CHECK(exact.change == Approx(exact.exact_change));
  CHECK(exact.change < 0);
  const StepComparison up = compare_with_exact_step(z, u, -down);
  CHECK(up.cosine == Approx(-1));
  CHECK(up.change > 0);
  CHECK(up.exact_change == Approx(exact.exact_change));
  const Matrix<double> none = Matrix<double>::Zero(8, 11);
  CHECK(compare_with_exact_step(z, u, none).change == 0);
  CHECK(compare_with_exact_step(none, u, z).cosine == 0);
}

TEST_CASE("the rates round a step are those of projections with their bias") {
  Random random(9);
  const Subspaces u(draw_normal(random, 8, 6), 3);
  const Matrix<double> z = draw_normal(random, 8, 11), s = 0.1 * draw_normal(random, 8, 11);
  const Vector<double> bias = draw_normal(random, 6, 1);
  const auto rate = [&](const Matrix<double>& tokens) {
    const Matrix<double> h = (u.bases().transpose() * tokens).colwise() + bias;
    return coding_rate(h.topRows(2)) + coding_rate(h.middleRows(2, 2)) + coding_rate(h.bottomRows(2));
  };
  const StepComparison found = compare_with_exact_step(z, u, s, {}, bias);
  CHECK(found.rate == Approx(rate(z)).epsilon(1e-10));
  CHECK(found.change == Approx(rate(z + s) - rate(z)).epsilon(1e-8));
  CHECK(found.exact_change < -std::abs(found.change));
  CHECK(compare_with_exact_step(z, u, s, {}, Vector<double>::Zero(6)).change ==
        Approx(compare_with_exact_step(z, u, s).change).epsilon(1e-10));
  CHECK_THROWS_AS(compare_with_exact_step(z, u, s, {}, Vector<double>::Zero(5)), ShapeError);
}

TEST_CASE("a small step of float tokens changes the rate by its slope, not by its rounding") {
  Random random(10);
  const Subspaces<Matrix<float>> u(draw_normal(random, 8, 6).cast<float>(), 3);
  const Matrix<float> z = draw_normal(random, 8, 11).cast<float>();
  const Matrix<float> gradient = subspace_coding_rate_gradient(z, u).tokens;
  const StepComparison found = compare_with_exact_step(z, u, Matrix<float>(-1e-7F * gradient));
  CHECK(found.change == Approx(-1e-7 * static_cast<double>(gradient.squaredNorm())).epsilon(1e-4));
}

TEST_CASE("mean and deviation of numbers that come one by one are those of all, far from zero too") {
  Random random(8);
  const Matrix<double> numbers = 1e-3 * draw_normal(random, 1, 50) + Matrix<double>::Constant(1, 50, 1e6);
  Spread spread;
  CHECK(spread.deviation() == 0);
  for (const double x : numbers.reshaped()) spread.add(x);
  const double mean = (numbers.array() - 1e6).mean() + 1e6;
  CHECK(spread.count() == 50);
  CHECK(spread.mean() == Approx(mean).epsilon(1e-14));
  CHECK(spread.deviation() == Approx(std::sqrt((numbers.array() - mean).square().sum() / 49)).epsilon(1e-6));
}
