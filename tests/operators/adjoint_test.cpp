// SPDX-License-Identifier: MIT
// Adjoints of the operators against central differences of sum C .* f, in double.

#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/crate.hpp"
#include "crate/testing/finite_difference.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;
using crate::testing::check_gradient;

namespace {

constexpr crate::testing::FiniteDifferenceOptions differences{.step = 1e-5, .tolerance = 1e-7};

/// Law: `gradient` is that of sum C .* f at `at`.
template <class Function>
void check(const Function& f, const Matrix<double>& at, const Matrix<double>& cotangent, const auto& gradient) {
  const auto finding = check_gradient(
      "gradient", [&](const Matrix<double>& x) { return cotangent.cwiseProduct(Matrix<double>(f(x))).sum(); }, at,
      gradient, differences);
  INFO(finding.report);
  CHECK(finding);
}

}  // namespace

TEST_CASE("adjoint of layer norm") {
  for_random_draws(5, [](Random& random) {
    const Index d = draw_index(random, 2, 9), n = draw_index(random, 1, 6);
    const Matrix<double> z = draw_normal(random, d, n), c = draw_normal(random, d, n);
    const Matrix<double> weight = draw_normal(random, d, 1), bias = draw_normal(random, d, 1);
    const LayerNormOptions options{.epsilon = 0.05};
    const auto gradient = layer_norm_adjoint(z, weight, c, options);
    check([&](const auto& x) { return layer_norm(x, weight, bias, options); }, z, c, gradient.tokens);
    check([&](const auto& x) { return layer_norm(z, x, bias, options); }, weight, c, gradient.weight);
    check([&](const auto& x) { return layer_norm(z, weight, x, options); }, bias, c, gradient.bias);
  });
}

TEST_CASE("adjoint of softmax") {
  Random random(2);
  const Matrix<double> x = draw_normal(random, 7, 4), c = draw_normal(random, 7, 4);
  check([](const auto& logits) { return softmax_columns(logits); }, x, c,
        softmax_columns_adjoint(softmax_columns(x), c));
}

TEST_CASE("adjoint of ISTA by either rule and threshold") {
  for_random_draws(4, [](Random& random) {
    const Index d = draw_index(random, 1, 8), n = draw_index(random, 1, 9);
    const Matrix<double> z = draw_normal(random, d, n), dictionary = draw_normal(random, d, d),
                         c = draw_normal(random, d, n);
    for (const SparsifyRule rule : {SparsifyRule::proximal_gradient, SparsifyRule::majorisation_minimisation})
      for (const Threshold threshold : {Threshold::non_negative, Threshold::soft}) {
        const IstaOptions options{.step = 0.2, .lambda = 0.5, .threshold = threshold, .rule = rule, .alpha = 0.6};
        const auto gradient = ista_adjoint(z, dictionary, c, options);
        check([&](const auto& x) { return ista(x, dictionary, options); }, z, c, gradient.tokens);
        check([&](const auto& x) { return ista(z, x, options); }, dictionary, c, gradient.dictionary);
      }
  });
}

TEST_CASE("adjoint of sparse codes") {
  for_random_draws(4, [](Random& random) {
    const Index d = draw_index(random, 1, 6), s = draw_index(random, 1, 13), n = draw_index(random, 1, 5);
    const Matrix<double> z = draw_normal(random, d, n), dictionary = draw_normal(random, d, s),
                         c = draw_normal(random, s, n);
    for (const Threshold threshold : {Threshold::non_negative, Threshold::soft})
      for (const Index steps : {1, 2, 5}) {
        const SparseCodeOptions options{.step = 0.1, .lambda = 0.3, .steps = steps, .threshold = threshold};
        const auto gradient = sparse_code_adjoint(z, dictionary, c, options);
        check([&](const auto& x) { return sparse_code(x, dictionary, options); }, z, c, gradient.tokens);
        check([&](const auto& x) { return sparse_code(z, x, options); }, dictionary, c, gradient.dictionary);
      }
  });
}

TEST_CASE("adjoint of MSSA with a free output") {
  for_random_draws(4, [](Random& random) {
    const DrawnSizes sizes = draw_sizes(random);
    const Index d = sizes.dim, n = sizes.tokens, heads = sizes.heads, p = sizes.head_dim;
    const Index out = draw_index(random, 1, 6);
    const Matrix<double> z = draw_normal(random, d, n), bases = draw_normal(random, d, heads * p),
                         w = draw_normal(random, out, heads * p), b = draw_normal(random, out, 1),
                         c = draw_normal(random, out, n);
    const AttentionOptions options{
        .mask = AttentionMask::causal, .visible = draw_index(random, 1, n), .logit_scale = 0.4, .rate_factor = 1.5};
    const auto gradient = mssa_adjoint(z, Subspaces(bases, heads), w, c, options);
    check([&](const auto& x) { return mssa(x, Subspaces(bases, heads), w, b, options); }, z, c, gradient.tokens);
    check([&](const auto& x) { return mssa(z, Subspaces<Matrix<double>>(x, heads), w, b, options); }, bases, c,
          gradient.bases);
    check([&](const auto& x) { return mssa(z, Subspaces(bases, heads), x, b, options); }, w, c, gradient.output_weight);
    check([&](const auto& x) { return mssa(z, Subspaces(bases, heads), w, x, options); }, b, c, gradient.output_bias);
  });
}

TEST_CASE("adjoint of the compression step of every kind") {
  for_random_draws(6, [](Random& random) {
    const DrawnSizes sizes = draw_sizes(random);
    const Index d = sizes.dim, n = sizes.tokens, heads = sizes.heads, p = sizes.head_dim;
    const Matrix<double> z = draw_normal(random, d, n), bases = 0.4 * draw_normal(random, d, heads * p),
                         c = draw_normal(random, d, n);
    for (const CompressionStep step : {CompressionStep::exact, CompressionStep::first_order, CompressionStep::softmax,
                                       CompressionStep::rate_reduction, CompressionStep::soft_partition}) {
      const CompressionOptions options{
          .kappa = 0.4, .epsilon = 1.1, .step = step, .logit_scale = 0.8, .mssa_factor = 1.2};
      const auto gradient = compress_adjoint(z, Subspaces(bases, heads), c, options);
      check([&](const auto& x) { return compress(x, Subspaces(bases, heads), options); }, z, c, gradient.tokens);
      check([&](const auto& x) { return compress(z, Subspaces<Matrix<double>>(x, heads), options); }, bases, c,
            gradient.bases);
    }
  });
}

TEST_CASE("the exact step's adjoint keeps its precision where tokens are coded finely") {
  Random random(3);
  const Matrix<double> z = draw_normal(random, 8, 40), bases = draw_orthonormal(random, 8, 4),
                       c = draw_normal(random, 8, 40);
  const CompressionOptions options{.kappa = 0.1, .epsilon = 1e-3};
  const auto exact = compress_adjoint(z, Subspaces(bases, 2), c, options);
  const auto rounded =
      compress_adjoint(z.cast<float>(), Subspaces(Matrix<float>(bases.cast<float>()), 2), c.cast<float>(), options);
  CHECK(relative_error(rounded.tokens, exact.tokens) < 64 * rounding<float>);
}

TEST_CASE("cutting patches and joining them are adjoint") {
  Random random(4);
  const PatchGrid grid{.rows = 2, .columns = 3, .height = 3, .width = 2, .channels = 2};
  const Matrix<double> images = draw_normal(random, grid.values_per_image(), 2),
                       patches = draw_normal(random, grid.values_per_patch(), 2 * grid.patches());
  for (const PatchOrder order : {PatchOrder::row_column_channel, PatchOrder::channel_row_column})
    CHECK(relative_error(cut_patches(images, grid, order).cwiseProduct(patches).sum(),
                         images.cwiseProduct(join_patches(patches, grid, order)).sum()) < rounding<double>);
}

TEST_CASE("adjoints refuse cotangents of another size") {
  const Matrix<double> z = Matrix<double>::Ones(4, 3), square = Matrix<double>::Ones(4, 4);
  const Subspaces<Matrix<double>> u(square, 2);
  const Matrix<double> wrong = Matrix<double>::Ones(4, 2);
  CHECK(message_of<ShapeError>([&] { static_cast<void>(ista_adjoint(z, square, wrong)); }) ==
        "ISTA: cotangent: expected 4 x 3, found 4 x 2");
  CHECK(message_of<ShapeError>([&] { static_cast<void>(sparse_code_adjoint(z, square, wrong)); }) ==
        "sparse code: cotangent: expected 4 x 3, found 4 x 2");
  CHECK(message_of<ShapeError>([&] { static_cast<void>(mssa_adjoint(z, u, wrong)); }) ==
        "MSSA: cotangent: expected 4 x 3, found 4 x 2");
  CHECK(message_of<ShapeError>([&] { static_cast<void>(compress_adjoint(z, u, wrong)); }) ==
        "compression: cotangent: expected 4 x 3, found 4 x 2");
  CHECK(message_of<ShapeError>([&] { static_cast<void>(layer_norm_adjoint(z, square.col(0), wrong)); }) ==
        "layer norm: cotangent: expected 4 x 3, found 4 x 2");
}
