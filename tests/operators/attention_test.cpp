// SPDX-License-Identifier: MIT
// Attention of queries, keys and values.

#include "crate/operators/attention.hpp"

#include <cmath>

#include "catch.hpp"
#include "comparison.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

TEST_CASE("attention of small whole numbers is what one works out by hand") {
  Matrix<double> q(1, 2), k(1, 2), v(1, 2), expected(1, 2);
  q << 0, 1;
  k << 0, std::log(3.0);
  v << 4, 8;
  expected << 6, 7;  // halves of both, and a quarter of the first with three of the second
  CHECK(relative_error(attention(q, k, v, 1), expected) < rounding<double>);
  expected << 4, 7;
  CHECK(relative_error(attention(q, k, v, 1, {.mask = AttentionMask::causal}), expected) < rounding<double>);
  expected << 4, 4;
  CHECK(relative_error(attention(q, k, v, 1, {.visible = 1}), expected) < rounding<double>);
}

TEST_CASE("attention whose queries, keys and values are one is subspace attention") {
  for_random_draws(20, [](Random& random) {
    const auto [dim, tokens, heads, head_dim] = draw_sizes(random);
    const Matrix<double> h = draw_normal(random, heads * head_dim, tokens);
    const AttentionOptions options{.mask = static_cast<AttentionMask>(random.below(2)),
                                   .visible = draw_index(random, 1, tokens),
                                   .logit_scale = 0.7};
    CHECK(relative_error(attention(h, h, h, heads, options), subspace_attention(h, heads, options)) < rounding<double>);
  });
}

TEST_CASE("permuting tokens permutes what attention makes of them, and values count linearly") {
  for_random_draws(20, [](Random& random) {
    const auto [dim, tokens, heads, head_dim] = draw_sizes(random);
    const auto draw = [&, n = tokens, rows = heads * head_dim] { return draw_normal(random, rows, n); };
    const Matrix<double> q = draw(), k = draw(), v = draw(), w = draw(), out = attention(q, k, v, heads);
    const auto permutation = draw_permutation(random, tokens);
    CHECK(relative_error(attention(q * permutation, k * permutation, v * permutation, heads), out * permutation) <
          rounding<double>);
    CHECK(relative_error(attention(q, k, v - 2 * w, heads), out - 2 * attention(q, k, w, heads)) <
          64 * rounding<double>);
  });
}

TEST_CASE("attention refuses queries, keys and values of several sizes, and heads that do not divide them") {
  const Matrix<double> z = Matrix<double>::Zero(6, 5), shorter = z.leftCols(4), lower = z.topRows(3);
  CHECK_THROWS_AS(attention(z, shorter, z, 2), ShapeError);
  CHECK_THROWS_AS(attention(z, z, lower, 2), ShapeError);
  CHECK_THROWS_AS(attention(z, z, z, 4), OptionError);
  CHECK_THROWS_AS(attention(z, z, z, 0), OptionError);
  CHECK_THROWS_AS(attention(z, z, z, 2, {.visible = 6}), OptionError);
}
