// SPDX-License-Identifier: MIT
#include "crate/operators/compression.hpp"

#include <Eigen/LU>
#include <Eigen/SVD>
#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/operators/rate_reduction.hpp"
#include "draw.hpp"
#include "drawn_tokens.hpp"

using namespace crate;
using namespace crate::test;

namespace {

constexpr CompressionStep all_steps[] = {CompressionStep::exact, CompressionStep::first_order, CompressionStep::softmax,
                                         CompressionStep::rate_reduction, CompressionStep::soft_partition};

double largest_safe_kappa(const TokensAndSubspaces& drawn, double epsilon) {
  return largest_kappa(drawn.u, drawn.z.cols(), epsilon);
}

/// Tokens of rank one, exactly.
TokensAndSubspaces draw_equal_tokens(Random& random, double size) {
  const TokensAndSubspaces drawn = draw_tokens_and_subspaces(random);
  return {(size * drawn.z.col(0)).replicate(1, drawn.z.cols()), drawn.u};
}

}  // namespace

TEST_CASE("Tokens that are infinite, or whose squares are, are an error and no number") {
  Random random(1);
  const Subspaces u(Matrix<double>(draw_normal(random, 5, 4)), 2);
  Matrix<double> z = draw_normal(random, 5, 9);
  CHECK_THROWS_AS(compress(1e170 * z, u), PrecisionError);
  z(2, 3) = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(compress(z, u), PrecisionError);
}

TEST_CASE("An exact compression step descends along the gradient of the subspace coding rate") {
  for_random_draws(30, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const double epsilon = random.uniform(0.2, 2), kappa = random.uniform(-0.5, 0.5);
    const Matrix<double> expected = z - kappa * subspace_coding_rate_gradient(z, u, {.epsilon = epsilon}).tokens;
    CHECK(relative_error(compress(z, u, {.kappa = kappa, .epsilon = epsilon}), expected) < 1e-13);
  });
}

TEST_CASE("An exact compression step is equation (9) with the inverse taken over tokens") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const Index n = z.cols();
    const double a = rate_factor(u.head_dim(), n, 0.8);
    Matrix<double> expected = z;
    for (Index k = 0; k < u.heads(); ++k) {
      const Matrix<double> w = u.basis(k).transpose() * z;
      const Matrix<double> gram = Matrix<double>::Identity(n, n) + a * w.transpose() * w;
      expected -= 0.3 * a * u.basis(k) * w * gram.inverse();
    }
    CHECK(relative_error(compress(z, u, {.kappa = 0.3, .epsilon = 0.8}), expected) < 1e-11);
  });
}

TEST_CASE("Hundreds of tokens take every step by its formula in coordinates") {
  Random random(7);
  for (const Index n : {256, 257, 600}) {
    const Matrix<double> z = draw_normal(random, 6, n), identity = Matrix<double>::Identity(3, 3);
    const Subspaces u(draw_normal(random, 6, 6) / 2, 2);
    const double a = rate_factor(3, n, 0.5);
    Matrix<double> exact = z, first_order = z;
    for (Index k = 0; k < 2; ++k) {
      const Matrix<double> w = u.basis(k).transpose() * z, gram = a * w * w.transpose();
      exact -= 0.3 * a * u.basis(k) * (identity + gram).inverse() * w;
      first_order -= 0.3 * a * u.basis(k) * (identity - gram) * w;
    }
    CHECK(relative_error(compress(z, u, {.kappa = 0.3}), exact) < 1e-12);
    CHECK(relative_error(compress(z, u, {.kappa = 0.3, .step = CompressionStep::first_order}), first_order) < 1e-12);
  }
}

TEST_CASE("Subspaces of more dimensions than a block of columns take every step and its adjoint by their formulas") {
  Random random(8);
  const Index d = 90, p = 45, n = 300;
  const Matrix<double> z = draw_normal(random, d, n), c = draw_normal(random, d, n);
  const Subspaces u(draw_normal(random, d, 2 * p) / 9, 2);
  const double a = rate_factor(p, n, 0.5);
  Matrix<double> expected = z, adjoint = c;
  for (Index k = 0; k < 2; ++k) {
    const Matrix<double> w = u.basis(k).transpose() * z;
    const Matrix<double> gram = Matrix<double>::Identity(p, p) + a * w * w.transpose();
    const Matrix<double> f = gram.inverse() * w, c_k = -0.3 * a * u.basis(k).transpose() * c, g = gram.inverse() * c_k;
    expected -= 0.3 * a * u.basis(k) * f;
    adjoint += u.basis(k) * (g - a * (g * f.transpose() * w + f * c_k.transpose() * f));
  }
  const CompressionOptions options{.kappa = 0.3};
  CHECK(relative_error(compress(z, u, options), expected) < 1e-12);
  CHECK(relative_error(compress_adjoint(z, u, c, options).tokens, adjoint) < 1e-12);
  const Subspaces narrow_u(u.bases().cast<float>(), 2);
  CHECK(relative_error(compress(z.cast<float>(), narrow_u, options), expected) < 4 * rounding<float>);
}

TEST_CASE("An exact compression step within the bound on kappa never raises the subspace coding rate") {
  for_random_draws(600, [](Random& random) {
    const TokensAndSubspaces drawn = draw_tokens_and_subspaces(random);
    const double epsilon = random.uniform(0.05, 2), bound = largest_safe_kappa(drawn, epsilon);
    const double before = subspace_coding_rate(drawn.z, drawn.u, {.epsilon = epsilon});
    for (const double share : {random.uniform(), 0.9, 0.999}) {
      const Matrix<double> after = compress(drawn.z, drawn.u, {.kappa = share * bound, .epsilon = epsilon});
      INFO("kappa = " << share << " of the bound, epsilon = " << epsilon);
      CHECK(subspace_coding_rate(after, drawn.u, {.epsilon = epsilon}) <= before * (1 + 1e-13));
    }
  });
}

TEST_CASE("The largest kappa is 2 / (a ||U||^2), just below if rounded") {
  for_random_draws(40, [](Random& random) {
    const TokensAndSubspaces drawn = draw_tokens_and_subspaces(random);
    const double epsilon = random.uniform(0.05, 2);
    const Eigen::JacobiSVD<Matrix<double>> svd(drawn.u.bases());
    const double norm = svd.singularValues()[0];
    const double bound = 2 / (rate_factor(drawn.u.head_dim(), drawn.z.cols(), epsilon) * norm * norm);
    const double kappa = largest_kappa(drawn.u, drawn.z.cols(), epsilon);
    CHECK(relative_error(kappa, bound) < 1e-12);
    CHECK(kappa <= bound);
    CHECK(relative_error(largest_kappa(Subspaces(drawn.u.bases().cast<float>(), drawn.u.heads()), 3, 1),
                         largest_kappa(drawn.u, 3, 1)) < rounding<float>);
  });
  const Subspaces tiny(Matrix<double>(Matrix<double>::Constant(1, 1, 1e-200)), 1),
      none(Matrix<double>(Matrix<double>::Zero(2, 2)), 1);
  CHECK(relative_error(largest_kappa(tiny, 1, 1e-150), 2e100) < 1e-12);
  CHECK(std::isinf(largest_kappa(none, 1, 1)));
  CHECK_THROWS_AS(largest_kappa(none, 0, 1), OptionError);
  CHECK_THROWS_AS(largest_kappa(none, 1, 0), OptionError);
}

// Beyond a ||W||^2 = 1e16 the factor of the Gram matrix was garbage, and with it the step.
TEST_CASE("An exact step on equal tokens is its closed form at every size, and never raises the subspace coding rate") {
  for (const double size : {1e-6, 1e-2, 1.0, 1e2, 1e4, 1e6, 1e8})
    for_random_draws(15, [&](Random& random) {
      const TokensAndSubspaces drawn = draw_equal_tokens(random, size);
      const Index n = drawn.z.cols();
      const double kappa = 0.9 * largest_kappa(drawn.u, n, 0.5), a = rate_factor(drawn.u.head_dim(), n, 0.5);
      Matrix<double> expected = drawn.z;
      for (Index k = 0; k < drawn.u.heads(); ++k) {
        const Matrix<double> w = drawn.u.basis(k).transpose() * drawn.z;
        expected -= kappa * a / (1 + a * w.squaredNorm()) * drawn.u.basis(k) * w;
      }
      INFO("size " << size);
      const Matrix<double> after = compress(drawn.z, drawn.u, {.kappa = kappa});
      CHECK(relative_error(after, expected) < 1e-12);
      CHECK(subspace_coding_rate(after, drawn.u) <= subspace_coding_rate(drawn.z, drawn.u) * (1 + 1e-9));
      const Matrix<float> narrow = drawn.z.cast<float>();
      const Subspaces narrow_u(drawn.u.bases().cast<float>(), drawn.u.heads());
      CHECK(relative_error(compress(narrow, narrow_u, {.kappa = kappa}), expected) < 64 * rounding<float>);
    });
}

TEST_CASE("An exact step is right or refused where tokens are far above epsilon") {
  const Matrix<double> flat = Matrix<double>::Ones(3, 4), full = Matrix<double>::Identity(3, 3);
  const Subspaces u(full, 1);
  const double kappa = largest_kappa(u, 4, 1e-6), too_large = largest_kappa(u, 4, 1e-20);
  CHECK_THROWS_AS(compress(1e6 * flat, u, {.kappa = too_large, .epsilon = 1e-20}), PrecisionError);
  CHECK_THROWS_AS(compress_adjoint(1e6 * flat, u, flat, {.kappa = too_large, .epsilon = 1e-20}), PrecisionError);
  CHECK(relative_error(compress(1e6 * flat, u, {.kappa = kappa, .epsilon = 1e-6}), 1e6 * flat) < 1e-14);
  CHECK(relative_error(compress(1e6 * full, u, {.kappa = kappa, .epsilon = 1e-6}), 1e6 * full) < 1e-14);
  CHECK_THROWS_AS(compress(flat, u, {.epsilon = 1e-170}), OptionError);
  CHECK_THROWS_AS(
      compress(Matrix<float>(flat.cast<float>()), Subspaces(Matrix<float>(full.cast<float>()), 1), {.epsilon = 1e-30}),
      OptionError);
}

// F = W / (1 + a ||W||^2) for W = w 1^T, and its derivative along D is D K - a F (D^T F + ...): here by differences of
// the step.
TEST_CASE("The adjoint of the exact step on equal tokens is that of differences at every size") {
  for (const double size : {1e-2, 1.0, 1e2, 1e4, 1e6}) {
    Random random(9);
    const TokensAndSubspaces drawn{(size * draw_normal(random, 4, 1)).replicate(1, 5),
                                   {draw_orthonormal(random, 4, 4), 2}};
    const Matrix<double> cotangent = draw_normal(random, 4, 5), direction = draw_normal(random, 4, 5);
    const CompressionOptions options{.kappa = 0.5 * largest_kappa(drawn.u, 5, 0.5)};
    const double h = 1e-4 / (1 + size);
    const auto loss = [&](double t) {
      return compress(drawn.z + t * direction, drawn.u, options).cwiseProduct(cotangent).sum();
    };
    const double slope = compress_adjoint(drawn.z, drawn.u, cotangent, options).tokens.cwiseProduct(direction).sum();
    INFO("size " << size);
    CHECK(std::abs(slope - (loss(h) - loss(-h)) / (2 * h)) <
          1e-7 * cotangent.norm() * direction.norm() + 1e-15 * size / h);
  }
}

TEST_CASE("The bound on kappa cannot be raised") {
  // One short token along a single unit basis: the step is close to (1 - kappa a) z, which grows beyond kappa a = 2.
  const TokensAndSubspaces drawn{Matrix<double>{{1e-3}, {0}}, {Matrix<double>{{1}, {0}}, 1}};
  const double bound = largest_safe_kappa(drawn, 1.0);
  const auto rate_after = [&](double kappa) {
    return subspace_coding_rate(compress(drawn.z, drawn.u, {.kappa = kappa, .epsilon = 1}), drawn.u, {.epsilon = 1});
  };
  const double before = subspace_coding_rate(drawn.z, drawn.u, {.epsilon = 1});
  CHECK(rate_after(0.999 * bound) < before);
  CHECK(rate_after(1.001 * bound) > before);
}

TEST_CASE("Compression steps far above the bound on kappa do raise the subspace coding rate") {
  int raised = 0, trials = 0;
  for_random_draws(100, [&](Random& random) {
    const TokensAndSubspaces drawn = draw_tokens_and_subspaces(random);
    const double kappa = 100 * largest_safe_kappa(drawn, 1.0);
    const Matrix<double> after = compress(drawn.z, drawn.u, {.kappa = kappa, .epsilon = 1});
    raised +=
        subspace_coding_rate(after, drawn.u, {.epsilon = 1}) > subspace_coding_rate(drawn.z, drawn.u, {.epsilon = 1});
    ++trials;
  });
  CHECK(raised > trials / 2);
}

TEST_CASE("A step of negative kappa expands") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    CHECK(subspace_coding_rate(compress(z, u, {.kappa = -0.01}), u) > subspace_coding_rate(z, u));
  });
}

TEST_CASE("A step on the rate reduction follows its gradient, plain and with the soft partition held fixed") {
  for_random_draws(30, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    CompressionOptions options{.kappa = random.uniform(-0.5, 0.5), .epsilon = random.uniform(0.2, 2)};
    options.step = CompressionStep::rate_reduction;
    const Matrix<double> plain = z + options.kappa * rate_reduction_gradient(z, u, {.epsilon = options.epsilon}).tokens;
    CHECK(relative_error(compress(z, u, options), plain) < 1e-13);
    options.step = CompressionStep::soft_partition;
    options.logit_scale = random.uniform(0, 2);
    const Matrix<double> pi = soft_partition(z, u, options.logit_scale);
    const Matrix<double> of_members =
        z + options.kappa * (coding_rate_gradient(z, {.epsilon = options.epsilon}) -
                             partition_coding_rate_gradient(z, pi, {.epsilon = options.epsilon}));
    CHECK(relative_error(compress(z, u, options), of_members) < 1e-13);
  });
}

TEST_CASE("A step on the rate reduction within the bound on kappa never lowers it") {
  for_random_draws(400, [](Random& random) {
    const TokensAndSubspaces drawn = draw_tokens_and_subspaces(random);
    const Matrix<double> z = std::exp(random.uniform(-3, 3)) * drawn.z;
    CompressionOptions options{.epsilon = random.uniform(0.05, 2), .logit_scale = random.uniform(0, 3)};
    const CodingRateOptions rates{.epsilon = options.epsilon};
    const Matrix<double> pi = soft_partition(z, drawn.u, options.logit_scale);
    for (const double share : {random.uniform(), 0.01, 0.999})
      for (const auto step : {CompressionStep::rate_reduction, CompressionStep::soft_partition}) {
        options.step = step;
        options.kappa = share * largest_kappa(drawn.u, z.cols(), options);
        const Matrix<double> after = compress(z, drawn.u, options);
        const auto objective = [&](const Matrix<double>& tokens) {
          return coding_rate(tokens, rates) - (step == CompressionStep::rate_reduction
                                                   ? subspace_coding_rate(tokens, drawn.u, rates)
                                                   : partition_coding_rate(tokens, pi, rates));
        };
        const double sizes = coding_rate(z, rates) + subspace_coding_rate(z, drawn.u, rates);
        INFO("kappa = " << share << " of the bound, epsilon = " << options.epsilon);
        CHECK(objective(after) >= objective(z) - 1e-12 * (sizes + 1));
      }
  });
}

TEST_CASE("The largest kappa of a step is that of its options") {
  Random random(3);
  const TokensAndSubspaces drawn{draw_normal(random, 6, 9), {draw_normal(random, 6, 4), 2}};
  const double b = rate_factor(6, 9, 0.7), compression = largest_kappa(drawn.u, 9, 0.7);
  const auto largest = [&](CompressionStep step) {
    return largest_kappa(drawn.u, 9, CompressionOptions{.epsilon = 0.7, .step = step});
  };
  CHECK(largest(CompressionStep::exact) == compression);
  CHECK(largest(CompressionStep::softmax) == compression);
  CHECK(relative_error(largest(CompressionStep::rate_reduction), 2 / (2 / compression + b / 8)) < 1e-14);
  CHECK(relative_error(largest(CompressionStep::soft_partition), 2 / (b + b / 8)) < 1e-14);
}

TEST_CASE("Steps on the rate reduction of tokens far above epsilon are right or refused") {
  Random random(12);
  const Matrix<double> equal = 1e7 * draw_normal(random, 4, 1).replicate(1, 6);
  const Subspaces u(draw_orthonormal(random, 4, 4), 2);
  // Equal tokens: T(Z) = Z / (1 + b ||Z||^2), and of each subset, whose shares are equal too, T(X_k) = X_k / (1 + b
  // ||Z||^2), so that both rates' gradients cancel.
  CompressionOptions options{.kappa = 0.1, .step = CompressionStep::soft_partition, .logit_scale = 1e-15};
  CHECK(relative_error(compress(equal, u, options), equal) < 1e-14);
  const Matrix<double> cotangent = draw_normal(random, 4, 6);
  CHECK(compress_adjoint(equal, u, cotangent, options).tokens.allFinite());
  options.epsilon = 1e-20;
  options.kappa = largest_kappa(u, 6, options);
  for (const auto step : {CompressionStep::rate_reduction, CompressionStep::soft_partition}) {
    options.step = step;
    CHECK_THROWS_AS(compress(equal, u, options), PrecisionError);
    CHECK_THROWS_AS(compress_adjoint(equal, u, cotangent, options), PrecisionError);
  }
  Matrix<double> infinite = equal;
  infinite(2, 3) = std::numeric_limits<double>::infinity();
  for (const auto step : {CompressionStep::rate_reduction, CompressionStep::soft_partition})
    CHECK_THROWS_AS(compress(infinite, u, {.step = step}), PrecisionError);
  CHECK_THROWS_AS(
      compress(equal, u,
               {.step = CompressionStep::soft_partition, .logit_scale = std::numeric_limits<double>::infinity()}),
      OptionError);
}

TEST_CASE("The first-order step by its formula") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const double a = rate_factor(u.head_dim(), z.cols(), 0.8);
    Matrix<double> expected = z;
    for (Index k = 0; k < u.heads(); ++k) {
      const Matrix<double> w = u.basis(k).transpose() * z;
      expected -= 0.3 * a * u.basis(k) * w * (Matrix<double>::Identity(z.cols(), z.cols()) - a * w.transpose() * w);
    }
    const CompressionOptions options{.kappa = 0.3, .epsilon = 0.8, .step = CompressionStep::first_order};
    CHECK(relative_error(compress(z, u, options), expected) < 1e-12);
  });
}

TEST_CASE("The first-order step leaves an error of second order in a = p / (N epsilon^2)") {
  // exact - first_order = -kappa a (a^2 sum_k U_k (W_k W_k^T)^2 W_k - ...): of the step kappa a ..., the share a^2.
  // Twice the epsilon is a quarter of a and a sixteenth of the share.
  for_random_draws(10, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const auto share_at = [&, &tokens = z, &subspaces = u](double a) {
      const double epsilon = std::sqrt(rate_factor(subspaces.head_dim(), tokens.cols(), 1) / a);
      const Matrix<double> exact = compress(tokens, subspaces, {.kappa = 1 / a, .epsilon = epsilon});
      const Matrix<double> first_order =
          compress(tokens, subspaces, {.kappa = 1 / a, .epsilon = epsilon, .step = CompressionStep::first_order});
      return (exact - first_order).norm();
    };
    const double a = 0.02 / (u.bases().transpose() * z).squaredNorm();
    const double ratio = share_at(a) / share_at(a / 4);
    INFO("ratio " << ratio);
    CHECK(ratio > 15);
    CHECK(ratio < 16.1);
  });
}

TEST_CASE("The softmax step mixes tokens with MSSA") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const double kappa = random.uniform(-1, 1), a = rate_factor(u.head_dim(), z.cols(), 0.6);
    CompressionOptions options{.kappa = kappa, .epsilon = 0.6, .step = CompressionStep::softmax};
    CHECK(relative_error(compress(z, u, options), (1 - kappa * a) * z + kappa * a * mssa(z, u)) < 1e-13);
    options.logit_scale = 0.4;
    options.mssa_factor = a;  // as in eq. (12)
    CHECK(relative_error(compress(z, u, options),
                         (1 - kappa * a) * z + kappa * a * mssa(z, u, {.logit_scale = 0.4, .rate_factor = a})) < 1e-13);
  });
}

TEST_CASE("With kappa zero every step leaves the tokens alone") {
  for_random_draws(5, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    for (const auto step : all_steps) CHECK(compress(z, u, {.kappa = 0, .step = step}) == z);
  });
}

TEST_CASE("Permuting tokens permutes what every step makes of them, rotating rotates it") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const auto permutation = draw_permutation(random, z.cols());
    const Matrix<double> rotation = draw_orthonormal(random, z.rows(), z.rows());
    const Subspaces rotated(rotation * u.bases(), u.heads());
    for (const auto step : all_steps) {
      const CompressionOptions options{.kappa = 0.2, .epsilon = 0.9, .step = step};
      const Matrix<double> compressed = compress(z, u, options);
      CHECK(relative_error(compress(z * permutation, u, options), compressed * permutation) < 1e-11);
      CHECK(relative_error(compress(rotation * z, rotated, options), rotation * compressed) < 1e-11);
    }
  });
}

// Tokens U_k c + noise, k uniform, c standard normal in R^p, noise of deviation sigma, U_k orthonormal: a mixture of
// Gaussians. Its posterior mean given a noisy token z is sum_k P(k | z) U_k U_k^T z / (1 + sigma^2), P(k | z)
// proportional to exp(||U_k^T z||^2 / (2 sigma^2 (1 + sigma^2))). For N = 1, kappa = 1, epsilon = sqrt(p) the factor a
// is 1, the softmax over one token is 1, and the softmax step is MSSA = sum_k U_k U_k^T z: the denoiser's heads,
// aggregated with weights 1 in place of P(k | z) and without shrinking by 1 + sigma^2.
namespace {

/// E[x | z] and P(k | z) from the densities N(0, C_k) with C_k = U_k U_k^T + sigma^2 I,
/// through inverses and determinants.
struct Denoised {
  Vector<double> mean;
  std::vector<double> posterior;
};

Denoised denoise_mixture(const Vector<double>& z, const Subspaces<Matrix<double>>& u, double sigma) {
  const Index d = z.size();
  Denoised result{Vector<double>::Zero(d), {}};
  double total = 0;
  for (Index k = 0; k < u.heads(); ++k) {
    const Matrix<double> signal = u.basis(k) * u.basis(k).transpose();
    const Matrix<double> covariance = signal + sigma * sigma * Matrix<double>::Identity(d, d);
    const Vector<double> whitened = covariance.inverse() * z;
    const double density = std::exp(-0.5 * z.dot(whitened)) / std::sqrt(covariance.determinant());
    result.mean += density * (signal * whitened);
    result.posterior.push_back(density);
    total += density;
  }
  result.mean /= total;
  for (double& p : result.posterior) p /= total;
  return result;
}

}  // namespace

TEST_CASE("One token's attention heads, weighted by the posterior, are the denoiser of a mixture of Gaussians") {
  for_random_draws(20, [](Random& random) {
    const Index heads = draw_index(random, 1, 4), p = draw_index(random, 1, 3),
                d = heads * p + draw_index(random, 0, 4);
    Matrix<double> bases(d, heads * p);  // orthonormal each, in general position to each other
    for (Index k = 0; k < heads; ++k) bases.middleCols(k * p, p) = draw_orthonormal(random, d, p);
    const Subspaces u(bases, heads);
    const Matrix<double> z = draw_normal(random, d, 1);
    const double sigma = random.uniform(0.4, 1);
    const Denoised expected = denoise_mixture(z.col(0), u, sigma);

    Matrix<double> weighted = Matrix<double>::Zero(d, 1), all = weighted;
    for (Index k = 0; k < heads; ++k) {
      const Matrix<double> head = u.basis(k) * ssa(z, u.basis(k));
      weighted += expected.posterior[static_cast<std::size_t>(k)] * head;
      all += head;
    }
    CHECK(relative_error(weighted / (1 + sigma * sigma), expected.mean) < 1e-10);

    const double epsilon = std::sqrt(static_cast<double>(p));
    const Matrix<double> step = compress(z, u, {.kappa = 1, .epsilon = epsilon, .step = CompressionStep::softmax});
    CHECK(relative_error(step, all) < 1e-13);
    CHECK(relative_error(step, u.bases() * u.bases().transpose() * z) < 1e-13);
  });
}

TEST_CASE("For a token of one of several orthogonal subspaces, MSSA of one token is the denoiser as noise vanishes") {
  for_random_draws(20, [](Random& random) {
    const Index heads = draw_index(random, 2, 4), p = draw_index(random, 1, 3),
                d = heads * p + draw_index(random, 0, 4);
    const Subspaces u(draw_orthonormal(random, d, heads * p), heads);
    Matrix<double> coordinates = draw_normal(random, p, 1);
    coordinates *= 1 / coordinates.norm();
    const Matrix<double> z = u.basis(random.below(heads)) * coordinates;
    const double epsilon = std::sqrt(static_cast<double>(p));
    const Matrix<double> step = compress(z, u, {.kappa = 1, .epsilon = epsilon, .step = CompressionStep::softmax});
    for (const double sigma : {0.14, 0.1}) {  // P of the other subspaces: below exp(-1 / (2 sigma^2)) = 1e-11
      const Matrix<double> shrunk_back = (1 + sigma * sigma) * denoise_mixture(z.col(0), u, sigma).mean;
      CHECK(relative_error(step, shrunk_back) < 1e-9);
    }
  });
}

TEST_CASE("Compression of float tokens is that of the same tokens in double") {
  for_random_draws(10, [](Random& random) {
    const auto [z, u] = draw_tokens_and_subspaces(random);
    const Matrix<float> narrow = z.cast<float>();
    const Subspaces narrow_u(u.bases().cast<float>(), u.heads());
    for (const auto step : all_steps) {
      const CompressionOptions options{.kappa = 0.1, .epsilon = 1, .step = step};
      CHECK(relative_error(compress(narrow, narrow_u, options), compress(z, u, options)) < 4 * rounding<float>);
    }
  });
}

TEST_CASE("Compression takes expressions, blocks, row-major tokens and viewed subspaces") {
  Random random(4);
  const Matrix<double> z = draw_normal(random, 5, 8), bases = draw_normal(random, 5, 6), twice = 2 * z;
  const RowMajorMatrix<double> by_rows = z;
  const Subspaces u(bases, 2);
  const Subspaces viewed(Eigen::Map<const Matrix<double>>(bases.data(), 5, 6), 2);
  for (const auto step : all_steps) {
    const CompressionOptions options{.step = step};
    const Matrix<double> expected = compress(z, u, options);
    CHECK(compress(2 * z, u, options) == compress(twice, u, options));
    CHECK(compress(z, viewed, options) == expected);
    CHECK(relative_error(compress(by_rows, u, options), expected) < rounding<double>);
    CHECK(relative_error(compress(z.leftCols(3), viewed, options),
                         compress(Matrix<double>(z.leftCols(3)), u, options)) < rounding<double>);
  }
}

TEST_CASE("Compression may write over the tokens it reads") {
  Random random(6);
  const Matrix<double> z = draw_normal(random, 5, 8);
  const Subspaces u(draw_normal(random, 5, 6), 2);
  Matrix<double> in_place = z;
  in_place = compress(in_place, u);
  CHECK(in_place == compress(z, u));
}

TEST_CASE("Compression refuses what it cannot mean") {
  const Matrix<double> z = Matrix<double>::Ones(3, 2);
  const Subspaces u(Matrix<double>(Matrix<double>::Ones(3, 6)), 2),
      wrong(Matrix<double>(Matrix<double>::Ones(4, 6)), 2);
  CHECK(message_of<OptionError>([&] { (void)compress(z, u, {.epsilon = 0}); }) ==
        "compression: expected epsilon > 0, found 0");
  CHECK(message_of<ShapeError>([&] { (void)compress(z, wrong); }) ==
        "subspaces: expected U with 3 rows, as the tokens have, found 4");
  CHECK(message_of<ShapeError>([&] { (void)compress(Matrix<double>(3, 0), u); }) ==
        "tokens: expected at least 1 x 1, found 3 x 0");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(message_of<OptionError>([&] { (void)compress(z, u, {.kappa = nan}); }) ==
        "compression: expected a finite kappa, found nan");
  CHECK(message_of<OptionError>([&] { (void)largest_kappa(u, 2, 0.); }) ==
        "largest kappa: expected epsilon > 0, found 0");
  CHECK(message_of<OptionError>([&] {
          (void)compress(z, u, {.step = CompressionStep::softmax, .logit_scale = nan});
        }) == "compression: expected a finite logit_scale, found nan");
  CHECK(message_of<OptionError>([&] {
          (void)compress(z, u, {.step = CompressionStep::softmax, .mssa_factor = nan});
        }) == "compression: expected a finite mssa_factor, found nan");
}

TEST_CASE("Subspaces that were given another number of columns since are refused") {
  const Matrix<double> z = Matrix<double>::Ones(3, 2);
  Subspaces u(Matrix<double>(Matrix<double>::Ones(3, 6)), 2);
  u.bases() = Matrix<double>::Ones(3, 7);
  const std::string expected =
      "subspaces: expected a positive number of heads that divides the 7 columns of U, found 2";
  CHECK(message_of<ShapeError>([&] { (void)compress(z, u); }) == expected);
  CHECK(message_of<ShapeError>([&] { (void)compress_adjoint(z, u, z); }) == expected);
  CHECK(message_of<ShapeError>([&] { (void)subspace_coding_rate(z, u); }) == expected);
  CHECK(message_of<ShapeError>([&] { (void)mssa(z, u); }) == expected);
  CHECK(message_of<ShapeError>([&] { (void)mssa_adjoint(z, u, z); }) == expected);
  CHECK(message_of<ShapeError>([&] { (void)largest_kappa(u, 2, 0.5); }) == expected);
}
