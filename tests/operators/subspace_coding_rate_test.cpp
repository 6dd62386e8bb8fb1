// SPDX-License-Identifier: MIT
#include "crate/operators/subspace_coding_rate.hpp"

#include <Eigen/LU>
#include <Eigen/SVD>
#include <cmath>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/testing/finite_difference.hpp"
#include "draw.hpp"
#include "drawn_tokens.hpp"

using namespace crate;
using namespace crate::test;

TEST_CASE("The subspace coding rate is the sum of the coding rates of the projections") {
  for_random_draws(40, [](Random& random) {
    const auto [d, n, heads, p] = draw_sizes(random);
    const Matrix<double> z = draw_normal(random, d, n);
    const Subspaces u(draw_normal(random, d, heads * p), heads);
    const double epsilon = random.uniform(0.3, 2);
    double sum = 0, by_lu = 0;
    for (Index k = 0; k < heads; ++k) {
      const Matrix<double> w = u.basis(k).transpose() * z;
      sum += coding_rate(w, {.epsilon = epsilon});
      by_lu +=
          0.5 * std::log((Matrix<double>::Identity(n, n) +
                          static_cast<double>(p) / (static_cast<double>(n) * epsilon * epsilon) * w.transpose() * w)
                             .determinant());
    }
    const double rate = subspace_coding_rate(z, u, {.epsilon = epsilon});
    CHECK(relative_error(rate, sum) < 1e-13);
    CHECK(relative_error(rate, by_lu) < 1e-10);
    CHECK(rate >= 0);
  });
}

TEST_CASE("Tokens along orthonormal bases have the subspace coding rate of their lengths") {
  for_random_draws(20, [](Random& random) {
    const Index heads = draw_index(random, 1, 4), p = draw_index(random, 1, 4),
                d = heads * p + draw_index(random, 0, 3);
    const Subspaces u(draw_orthonormal(random, d, heads * p), heads);
    Matrix<double> z = u.bases();  // p tokens along each basis, of length 1 + k there: U_k^T Z is (1 + k) I and zeros
    for (Index k = 0; k < heads; ++k) z.middleCols(k * p, p) *= static_cast<double>(1 + k);
    const double a = rate_factor(p, heads * p, 0.8);
    double expected = 0;
    for (Index k = 0; k < heads; ++k)
      expected += static_cast<double>(p) / 2 * std::log(1 + a * static_cast<double>((1 + k) * (1 + k)));
    CHECK(relative_error(subspace_coding_rate(z, u, {.epsilon = 0.8}), expected) < 1e-12);
  });
}

TEST_CASE("One complete orthogonal subspace has the coding rate itself") {
  for_random_draws(10, [](Random& random) {
    const Index d = draw_index(random, 1, 9);
    const Matrix<double> z = draw_normal(random, d, draw_index(random, 1, 12));
    CHECK(relative_error(subspace_coding_rate(z, Subspaces(draw_orthonormal(random, d, d), 1)), coding_rate(z)) <
          1e-12);
  });
}

TEST_CASE("Coding in complete orthogonal subspaces at the same factor never costs less than coding together") {
  // Fischer's inequality, det A <= product of the determinants of its diagonal blocks. R^c has p where R has d, so
  // equal factors p / (N e^2) = d / (N epsilon^2) take e = epsilon sqrt(p / d).
  for_random_draws(40, [](Random& random) {
    const Index heads = draw_index(random, 1, 4), p = draw_index(random, 1, 4), d = heads * p;
    const Matrix<double> z = draw_normal(random, d, draw_index(random, 1, 15));
    const Subspaces u(draw_orthonormal(random, d, d), heads);
    const double epsilon = random.uniform(0.2, 2), same_factor = epsilon / std::sqrt(static_cast<double>(heads));
    CHECK(coding_rate(z, {.epsilon = epsilon}) <= subspace_coding_rate(z, u, {.epsilon = same_factor}) + 1e-12);
  });
}

TEST_CASE("The subspace coding rate is unchanged by permuting tokens, by rotating all, and by the choice of bases") {
  for_random_draws(20, [](Random& random) {
    const auto [d, n, heads, p] = draw_sizes(random);
    const Matrix<double> z = draw_normal(random, d, n), rotation = draw_orthonormal(random, d, d);
    const Subspaces u(draw_normal(random, d, heads * p), heads);
    Subspaces other_bases = u;
    for (Index k = 0; k < heads; ++k) other_bases.basis(k) = u.basis(k) * draw_orthonormal(random, p, p);
    const double rate = subspace_coding_rate(z, u);
    CHECK(relative_error(subspace_coding_rate(z * draw_permutation(random, n), u), rate) < 1e-11);
    CHECK(relative_error(subspace_coding_rate(rotation * z, Subspaces(rotation * u.bases(), heads)), rate) < 1e-11);
    CHECK(relative_error(subspace_coding_rate(z, other_bases), rate) < 1e-11);
  });
}

TEST_CASE("The gradients of the subspace coding rate agree with finite differences") {
  for_random_draws(12, [](Random& random) {
    const Index d = draw_index(random, 1, 6), n = draw_index(random, 1, 7), heads = draw_index(random, 1, 3),
                p = draw_index(random, 1, 4);
    const Matrix<double> z = draw_normal(random, d, n);
    const Subspaces u(draw_normal(random, d, heads * p), heads);
    const CodingRateOptions options{.epsilon = random.uniform(0.7, 2)};
    const auto gradient = subspace_coding_rate_gradient(z, u, options);
    const auto by_tokens = testing::check_gradient(
        "dR^c/dZ", [&](const Matrix<double>& x) { return subspace_coding_rate(x, u, options); }, z, gradient.tokens);
    const auto by_bases = testing::check_gradient(
        "dR^c/dU", [&](const Matrix<double>& x) { return subspace_coding_rate(z, Subspaces(x, heads), options); },
        u.bases(), gradient.bases);
    INFO(by_tokens.report << "\n" << by_bases.report);
    CHECK(by_tokens.holds);
    CHECK(by_bases.holds);
  });
}

TEST_CASE("The subspace coding rate of float tokens is that of the same tokens in double") {
  Random random(3);
  const Matrix<float> z = draw_normal(random, 6, 9).cast<float>(), bases = draw_normal(random, 6, 8).cast<float>();
  const Matrix<double> wide = z.cast<double>();
  const Subspaces u(bases, 2);
  const Subspaces wide_u(bases.cast<double>(), 2);
  CHECK(relative_error(subspace_coding_rate(z, u), subspace_coding_rate(wide, wide_u)) < rounding<float>);
  const auto gradient = subspace_coding_rate_gradient(z, u);
  const auto wide_gradient = subspace_coding_rate_gradient(wide, wide_u);
  CHECK(relative_error(gradient.tokens, wide_gradient.tokens) < rounding<float>);
  CHECK(relative_error(gradient.bases, wide_gradient.bases) < rounding<float>);
}

TEST_CASE("The subspace coding rate takes expressions, blocks, row-major tokens and viewed subspaces") {
  Random random(4);
  const Matrix<double> z = draw_normal(random, 5, 8), bases = draw_normal(random, 5, 6), twice = 2 * z;
  const RowMajorMatrix<double> by_rows = z;
  const Subspaces u(bases, 2);
  const Subspaces viewed(Eigen::Map<const Matrix<double>>(bases.data(), 5, 6), 2);
  const Subspaces referred(Eigen::Ref<const Matrix<double>>(bases), 2);
  const double rate = subspace_coding_rate(z, u);
  CHECK(subspace_coding_rate(2 * z, u) == subspace_coding_rate(twice, u));
  CHECK(subspace_coding_rate(z, viewed) == rate);
  CHECK(subspace_coding_rate(z, referred) == rate);
  CHECK(relative_error(subspace_coding_rate(by_rows, u), rate) < rounding<double>);
  CHECK(relative_error(subspace_coding_rate_gradient(by_rows, viewed).tokens,
                       subspace_coding_rate_gradient(z, u).tokens) < rounding<double>);
  CHECK(subspace_coding_rate_gradient(z, viewed).bases == subspace_coding_rate_gradient(z, u).bases);
  CHECK(subspace_coding_rate(z.leftCols(3), u) == subspace_coding_rate(Matrix<double>(z.leftCols(3)), u));
}

TEST_CASE("The subspace coding rate takes a single direction, and a single token, as vectors") {
  Random random(5);
  const Matrix<double> z = draw_normal(random, 5, 8), u = draw_normal(random, 5, 6);
  const Vector<double> token = z.col(0), direction = u.col(0);
  const Matrix<double> one_token = token, one_direction = direction;
  CHECK(relative_error(subspace_coding_rate(z, Subspaces(direction, 1)),
                       subspace_coding_rate(z, Subspaces(one_direction, 1))) < rounding<double>);
  CHECK(relative_error(subspace_coding_rate_gradient(z, Subspaces(direction, 1)).bases,
                       subspace_coding_rate_gradient(z, Subspaces(one_direction, 1)).bases) < rounding<double>);
  CHECK(relative_error(subspace_coding_rate(token, Subspaces(u, 3)), subspace_coding_rate(one_token, Subspaces(u, 3))) <
        rounding<double>);
}

TEST_CASE("The subspace coding rate refuses what it cannot mean") {
  const Matrix<double> z = Matrix<double>::Ones(3, 2);
  const Subspaces four_dimensional(Matrix<double>(Matrix<double>::Ones(4, 6)), 2),
      three_dimensional(Matrix<double>(Matrix<double>::Ones(3, 6)), 2);
  CHECK(message_of<ShapeError>([&] { (void)subspace_coding_rate(z, four_dimensional); }) ==
        "subspaces: expected U with 3 rows, as the tokens have, found 4");
  CHECK(message_of<ShapeError>([&] { (void)subspace_coding_rate_gradient(z, four_dimensional); }) ==
        "subspaces: expected U with 3 rows, as the tokens have, found 4");
  CHECK(message_of<ShapeError>([&] { (void)subspace_coding_rate(Matrix<double>(3, 0), three_dimensional); }) ==
        "tokens: expected at least 1 x 1, found 3 x 0");
  CHECK(message_of<OptionError>([&] { (void)subspace_coding_rate(z, three_dimensional, {.epsilon = -1}); }) ==
        "coding rate: expected epsilon > 0, found -1");
}

namespace {

/// Z, exactly of a low rank, and U of small integers, so that U_k^T Z and its multiples are exact.
TokensAndSubspaces draw_low_rank(Random& random, double size) {
  const auto [d, n, heads, p] = draw_sizes(random);
  const auto integers = [&](Index rows, Index cols) -> Matrix<double> {
    return (4 * draw_normal(random, rows, cols)).array().round();
  };
  const Index rank = draw_index(random, 1, 2);
  return {size * integers(d, rank) * integers(rank, n), {integers(d, heads * p), heads}};
}

double rate_of_singular_values(const TokensAndSubspaces& drawn, double epsilon) {
  using Wide = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
  const auto root = std::sqrt(static_cast<long double>(drawn.u.head_dim()) / static_cast<long double>(drawn.z.cols()));
  long double rate = 0;
  for (Index k = 0; k < drawn.u.heads(); ++k) {
    const Wide w = root / epsilon * drawn.u.basis(k).transpose().cast<long double>() * drawn.z.cast<long double>();
    const Eigen::JacobiSVD<Wide> svd(w);
    for (const long double s : svd.singularValues()) rate += std::log1p(s * s) / 2;
  }
  return static_cast<double>(rate);
}

}  // namespace

// As with R, the smallest eigenvalues of I + a W_k W_k^T were lost: 178 instead of 131 for tokens on 3 of 8 dimensions.
TEST_CASE("Tokens of low rank have the subspace coding rate of their singular values at every size") {
  for (const double size : {1e-6, 1.0, 1e2, 1e4, 1e6, 1e7})
    for_random_draws(15, [&](Random& random) {
      const TokensAndSubspaces drawn = draw_low_rank(random, size);
      INFO("size " << size);
      CHECK(relative_error(subspace_coding_rate(drawn.z, drawn.u), rate_of_singular_values(drawn, 0.5)) < 1e-9);
      const Matrix<float> narrow = drawn.z.cast<float>();
      const Subspaces narrow_u(drawn.u.bases().cast<float>(), drawn.u.heads());
      const TokensAndSubspaces rounded{narrow.cast<double>(), drawn.u};
      CHECK(relative_error(subspace_coding_rate(narrow, narrow_u), rate_of_singular_values(rounded, 0.5)) < 1e-4);
    });
}

TEST_CASE("The gradients of the subspace coding rate of equal tokens are those of their closed form at every size") {
  for (const double size : {1e-3, 1.0, 1e3, 1e5, 1e7}) {
    const Vector<double> token = size * Vector<double>{{1, 2, -3, 1}};
    const Matrix<double> z = token.replicate(1, 6);
    const Matrix<double> bases{{1, 2, 0, 1}, {0, 1, 3, -1}, {2, 0, 1, 1}, {1, -1, 0, 2}};
    const Subspaces u(bases, 2);
    Matrix<double> by_tokens = Matrix<double>::Zero(4, 6), by_bases(4, 4);
    for (Index k = 0; k < 2; ++k) {
      const Matrix<double> w = u.basis(k).transpose() * z;
      const double a = rate_factor(2, 6, 0.01);
      const Matrix<double> g = a / (1 + a * w.squaredNorm()) * w;
      by_tokens += u.basis(k) * g;
      by_bases.middleCols(2 * k, 2) = z * g.transpose();
    }
    const auto gradient = subspace_coding_rate_gradient(z, u, {.epsilon = 0.01});
    INFO("size " << size);
    CHECK(relative_error(gradient.tokens, by_tokens) < 1e-9);
    CHECK(relative_error(gradient.bases, by_bases) < 1e-9);
  }
}

TEST_CASE(
    "Tokens orthogonal to every subspace have the subspace coding rate 0, and so they have next to one that holds "
    "others") {
  Matrix<double> z = Matrix<double>::Zero(4, 3);
  z.row(0) << 1e8, 2e8, -3e8;
  Matrix<double> bases = Matrix<double>::Zero(4, 2);
  bases(1, 0) = bases(2, 1) = 1;
  CHECK(subspace_coding_rate(z, Subspaces(bases, 2), {.epsilon = 1}) == 0);
  CHECK(subspace_coding_rate_gradient(z, Subspaces(bases, 2), {.epsilon = 1}).tokens.norm() == 0);
  bases(0, 1) = 1;
  const double expected = 0.5 * std::log1p(z.squaredNorm() / 3);
  CHECK(relative_error(subspace_coding_rate(z, Subspaces(bases, 2), {.epsilon = 1}), expected) < 1e-11);
}

TEST_CASE("Gradients of float tokens that float does not resolve are those of the same tokens in double") {
  Random random(5);
  const Matrix<float> z = draw_normal(random, 192, 60).cast<float>();
  const Subspaces u(Matrix<float>((draw_normal(random, 192, 80) / 20).cast<float>()), 2);
  const Subspaces wide_u(u.bases().cast<double>(), 2);
  for (const double epsilon : {0.5, 0.01}) {
    const auto found = subspace_coding_rate_gradient(z, u, {.epsilon = epsilon});
    const auto expected = subspace_coding_rate_gradient(z.cast<double>(), wide_u, {.epsilon = epsilon});
    CHECK(relative_error(found.tokens, expected.tokens) < 1e-3);
    CHECK(relative_error(found.bases, expected.bases) < 1e-3);
  }
}
