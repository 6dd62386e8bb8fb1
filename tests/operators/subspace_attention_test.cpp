// SPDX-License-Identifier: MIT
#include "crate/operators/subspace_attention.hpp"

#include <cmath>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/operators/coding_rate.hpp"
#include "draw.hpp"
#include "drawn_tokens.hpp"

using namespace crate;
using namespace crate::test;

namespace {

/// One query after the other, by the definition.
Matrix<double> naive_ssa(const Matrix<double>& z, const Matrix<double>& basis, const AttentionOptions& options = {}) {
  const Matrix<double> h = basis.transpose() * z;
  Matrix<double> out = Matrix<double>::Zero(h.rows(), h.cols());
  for (Index query = 0; query < h.cols(); ++query) {
    Index keys = options.visible == -1 ? h.cols() : options.visible;
    if (options.mask == AttentionMask::causal && keys > query + 1) keys = query + 1;
    double total = 0;
    for (Index key = 0; key < keys; ++key) {
      const double weight = std::exp(options.logit_scale * h.col(key).dot(h.col(query)));
      out.col(query) += weight * h.col(key);
      total += weight;
    }
    out.col(query) /= total;
  }
  return out;
}

Matrix<double> naive_mssa(const Matrix<double>& z, const Subspaces<Matrix<double>>& u,
                          const AttentionOptions& options) {
  Matrix<double> out = Matrix<double>::Zero(z.rows(), z.cols());
  for (Index k = 0; k < u.heads(); ++k) out += u.basis(k) * naive_ssa(z, u.basis(k), options);
  return options.rate_factor * out;
}

}  // namespace

TEST_CASE("SSA by hand") {
  // One coordinate, tokens 0 and ln 3 / ln 3 = 1, logits ln 3 h_i h_j: the first query weighs both alike,
  // the second 1 : 3.
  const Matrix<double> z{{0, 1}, {5, 7}}, basis{{1}, {0}};
  CHECK(relative_error(ssa(z, basis, {.logit_scale = std::log(3.0)}), Matrix<double>{{0.5, 0.75}}) < rounding<double>);
  const Subspaces u(basis, 1);
  CHECK(relative_error(mssa(z, u, {.logit_scale = std::log(3.0), .rate_factor = 4}), Matrix<double>{{2, 3}, {0, 0}}) <
        rounding<double>);
}

TEST_CASE("SSA and MSSA are their definitions, query by query") {
  for_random_draws(40, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    for (const auto mask : {AttentionMask::none, AttentionMask::causal})
      for (const Index visible : {Index{-1}, z.cols(), draw_index(random, 1, z.cols())}) {
        const AttentionOptions options{.mask = mask,
                                       .visible = visible,
                                       .logit_scale = random.uniform(-1, 1),
                                       .rate_factor = random.uniform(0.1, 3)};
        CHECK(relative_error(ssa(z, u.basis(0), options), naive_ssa(z, u.basis(0), options)) < 1e-12);
        CHECK(relative_error(mssa(z, u, options), naive_mssa(z, u, options)) < 1e-12);
      }
  });
}

TEST_CASE("More queries than a block of queries attend like few") {
  Random random(1);
  for (const Index tokens :
       {detail::query_block - 1, detail::query_block, detail::query_block + 1, 2 * detail::query_block + 5}) {
    const Matrix<double> z = draw_normal(random, 5, tokens);
    const Subspaces u(draw_normal(random, 5, 6) / 2, 3);
    for (const auto mask : {AttentionMask::none, AttentionMask::causal})
      for (const Index visible : {Index{-1}, Index{1}, Index{100}, tokens - 1}) {
        const AttentionOptions options{.mask = mask, .visible = visible};
        INFO(tokens << " tokens, " << visible << " visible");
        CHECK(relative_error(mssa(z, u, options), naive_mssa(z, u, options)) < 1e-12);
      }
  }
}

TEST_CASE("Permuting tokens permutes what attention makes of them") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const auto permutation = draw_permutation(random, z.cols());
    CHECK(relative_error(mssa(z * permutation, u), mssa(z, u) * permutation) < 1e-12);
  });
}

TEST_CASE("Rotating tokens and subspaces together rotates MSSA") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const Matrix<double> rotation = draw_orthonormal(random, z.rows(), z.rows());
    CHECK(relative_error(mssa(rotation * z, Subspaces(rotation * u.bases(), u.heads())), rotation * mssa(z, u)) <
          1e-11);
  });
}

TEST_CASE("Causal attention to a prefix agrees with the prefix of causal attention") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const AttentionOptions causal{.mask = AttentionMask::causal};
    const Index prefix = draw_index(random, 1, z.cols());
    const Matrix<double> all = mssa(z, u, causal);
    CHECK(relative_error(mssa(z.leftCols(prefix), u, causal), all.leftCols(prefix)) < 1e-13);
    CHECK(relative_error(mssa(z.leftCols(prefix), u).rightCols(1), all.col(prefix - 1)) < 1e-13);
  });
}

TEST_CASE("Hidden keys count as if they were not there") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const Index visible = draw_index(random, 1, z.cols());
    Matrix<double> with_other_padding = z;
    with_other_padding.rightCols(z.cols() - visible).setConstant(1e3);
    const Matrix<double> padded = mssa(z, u, {.visible = visible}).leftCols(visible);
    CHECK(relative_error(padded, mssa(z.leftCols(visible), u)) < 1e-13);
    CHECK(mssa(with_other_padding, u, {.visible = visible}).leftCols(visible) == padded);
  });
}

TEST_CASE("Without logits attention averages the keys") {
  for_random_draws(10, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const Matrix<double> mean = z.rowwise().mean().replicate(1, z.cols());
    CHECK(relative_error(mssa(z, u, {.logit_scale = 0}), u.bases() * u.bases().transpose() * mean) < 1e-12);
    const AttentionOptions causal{.mask = AttentionMask::causal, .logit_scale = 0};
    Matrix<double> running = z;
    for (Index j = 0; j < z.cols(); ++j) running.col(j) = z.leftCols(j + 1).rowwise().mean();
    CHECK(relative_error(mssa(z, u, causal), u.bases() * u.bases().transpose() * running) < 1e-12);
  });
}

TEST_CASE("With sharp logits attention copies the key most like the query") {
  const Matrix<double> z{{1, 0, -1, 0}, {0, 1, 0, -1}};
  const Subspaces u(Matrix<double>(Matrix<double>::Identity(2, 2)), 1);
  CHECK(relative_error(mssa(z, u, {.logit_scale = 1e4}), z) < rounding<double>);
  CHECK(relative_error(mssa(z, u, {.logit_scale = -1e4}), -z) < rounding<double>);
}

TEST_CASE("MSSA is proportional to its rate factor") {
  for_random_draws(5, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const double a = rate_factor(u.head_dim(), z.cols(), 0.3);
    CHECK(relative_error(mssa(z, u, {.rate_factor = a}), a * mssa(z, u)) < rounding<double>);
    const Matrix<double> bias = draw_normal(random, z.rows(), 1);
    CHECK(relative_error(mssa(z, u, u.bases(), bias, {.rate_factor = a}), a * mssa(z, u, u.bases(), bias)) < 1e-13);
  });
}

TEST_CASE("A free output equal to U, without bias, is the tied output") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const Vector<double> no_bias = Vector<double>::Zero(z.rows());
    const AttentionOptions options{.mask = AttentionMask::causal, .logit_scale = 0.3};
    CHECK(relative_error(mssa(z, u, u.bases(), no_bias, options), mssa(z, u, options)) < rounding<double>);
  });
}

TEST_CASE("A free output maps all heads together, to any width, and adds the bias to every token") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const Matrix<double> weight = draw_normal(random, draw_index(random, 1, 6), u.bases().cols());
    const Vector<double> bias = draw_normal(random, weight.rows(), 1);
    Matrix<double> expected = bias.replicate(1, z.cols());
    for (Index k = 0; k < u.heads(); ++k)
      expected += weight.middleCols(k * u.head_dim(), u.head_dim()) * naive_ssa(z, u.basis(k));
    CHECK(relative_error(mssa(z, u, weight, bias), expected) < 1e-12);
  });
}

TEST_CASE("Attention of projected tokens stacks the heads") {
  for_random_draws(10, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const Matrix<double> stacked = subspace_attention(u.bases().transpose() * z, u.heads());
    for (Index k = 0; k < u.heads(); ++k)
      CHECK(relative_error(stacked.middleRows(k * u.head_dim(), u.head_dim()), ssa(z, u.basis(k))) < 1e-13);
  });
}

TEST_CASE("Attention of float tokens is that of the same tokens in double") {
  for_random_draws(10, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const Subspaces narrow(u.bases().cast<float>(), u.heads());
    CHECK(relative_error(mssa(z.cast<float>(), narrow), mssa(z, u)) < 8 * rounding<float>);
  });
}

TEST_CASE("Attention takes expressions, blocks, row-major tokens and viewed subspaces") {
  Random random(4);
  const Matrix<double> z = draw_normal(random, 5, 8), bases = draw_normal(random, 5, 6), twice = 2 * z;
  const Matrix<double> weight = draw_normal(random, 4, 6), bias = draw_normal(random, 4, 1);
  const RowMajorMatrix<double> by_rows = z, weight_by_rows = weight;
  const Subspaces u(bases, 2);
  const Subspaces viewed(Eigen::Map<const Matrix<double>>(bases.data(), 5, 6), 2);
  CHECK(mssa(2 * z, u) == mssa(twice, u));
  CHECK(mssa(z, viewed) == mssa(z, u));
  CHECK(relative_error(mssa(by_rows, viewed), mssa(z, u)) < rounding<double>);
  CHECK(relative_error(mssa(z.leftCols(3), u), mssa(Matrix<double>(z.leftCols(3)), u)) < rounding<double>);
  CHECK(relative_error(ssa(2 * z, viewed.basis(1)), ssa(twice, u.basis(1))) < rounding<double>);
  CHECK(relative_error(mssa(2 * by_rows, viewed, 3 * weight_by_rows, -bias),
                       mssa(twice, u, Matrix<double>(3 * weight), Matrix<double>(-bias))) < rounding<double>);
  CHECK(relative_error(subspace_attention(by_rows.topRows(4), 2), subspace_attention(Matrix<double>(z.topRows(4)), 2)) <
        rounding<double>);
}

TEST_CASE("Attention refuses what it cannot mean") {
  const double infinity = std::numeric_limits<double>::infinity();
  const Matrix<double> head = Matrix<double>::Ones(2, 3);
  CHECK(message_of<OptionError>([&] { (void)subspace_attention(head, 1, {.logit_scale = infinity}); }) ==
        "option: expected a finite logit_scale of attention, found inf");
  CHECK(message_of<OptionError>([&] { (void)subspace_attention(head, 1, {.rate_factor = infinity}); }) ==
        "option: expected a finite rate_factor of MSSA, found inf");
  const Matrix<double> z = Matrix<double>::Ones(3, 5), weight = Matrix<double>::Ones(2, 6),
                       bias = Matrix<double>::Ones(2, 1);
  const Matrix<double> no_tokens(3, 0);
  const Subspaces u(Matrix<double>(Matrix<double>::Ones(3, 6)), 2),
      wrong(Matrix<double>(Matrix<double>::Ones(4, 6)), 2);
  CHECK(message_of<ShapeError>([&] { (void)mssa(z, wrong); }) ==
        "MSSA: dimension of the subspaces: expected 3, found 4");
  CHECK(message_of<ShapeError>([&] { (void)mssa(z, wrong, weight, bias); }) ==
        "MSSA: dimension of the subspaces: expected 3, found 4");
  CHECK(message_of<ShapeError>([&] { (void)ssa(z, wrong.basis(0)); }) == "SSA: rows of the basis: expected 3, found 4");
  CHECK(message_of<ShapeError>([&] { (void)mssa(z, u, weight.leftCols(5), bias); }) ==
        "MSSA: columns of the output weight: expected 6, found 5");
  CHECK(message_of<ShapeError>([&] { (void)mssa(z, u, weight, bias.topRows(1)); }) ==
        "MSSA: output bias: expected 2 x 1, found 1 x 1");
  CHECK(message_of<ShapeError>([&] { (void)mssa(z, u, weight, bias.transpose()); }) ==
        "MSSA: output bias: expected 2 x 1, found 1 x 2");
  CHECK(message_of<ShapeError>([&] { (void)mssa(no_tokens, u); }) ==
        "subspace attention: projected tokens: expected at least 1 x 1, found 6 x 0");
  CHECK(message_of<ShapeError>([&] { (void)subspace_attention(z, 2); }) ==
        "subspace attention: expected a number of heads that divides 3 rows, found 2");
  CHECK(message_of<ShapeError>([&] { (void)subspace_attention(z, 0); }) ==
        "subspace attention: expected a number of heads that divides 3 rows, found 0");
  for (const Index visible : {0, 6, -2})
    CHECK(message_of<OptionError>([&] { (void)mssa(z, u, {.visible = visible}); }) ==
          "attention: expected visible = -1 or between 1 and 5 tokens, found " + std::to_string(visible));
}
