// SPDX-License-Identifier: MIT
#include "crate/operators/partition_coding_rate.hpp"

#include <Eigen/LU>
#include <cmath>

#include "catch.hpp"
#include "comparison.hpp"
#include "crate/testing/finite_difference.hpp"
#include "draw.hpp"

using namespace crate;
using namespace crate::test;

namespace {

struct PartitionedTokens {
  Matrix<double> z;
  Subspaces<Matrix<double>> u;
  Matrix<double> partition;
};

PartitionedTokens draw_partitioned_tokens(Random& random) {
  const auto [d, n, heads, p] = draw_sizes(random);
  const Matrix<double> z = draw_normal(random, d, n);
  const Subspaces u(draw_normal(random, d, heads * p), heads);
  return {z, u, soft_partition(z, u, random.uniform(0, 0.5))};
}

}  // namespace

TEST_CASE("The soft partition is the softmax of the tokens' energies in the subspaces") {
  for_random_draws(20, [](Random& random) {
    const auto [z, u, partition] = draw_partitioned_tokens(random);
    const Matrix<double> found = soft_partition(z, u, 0.3);
    for (Index j = 0; j < z.cols(); ++j) {
      Vector<double> weights(u.heads());
      for (Index k = 0; k < u.heads(); ++k)
        weights[k] = std::exp(0.3 * (u.basis(k).transpose() * z.col(j)).squaredNorm());
      CHECK(relative_error(found.col(j), weights / weights.sum()) < 1e-12);
    }
    CHECK(relative_error(soft_partition(z, u, 0),
                         Matrix<double>::Constant(u.heads(), z.cols(), 1 / static_cast<double>(u.heads()))) < 1e-15);
  });
}

TEST_CASE("The coding rate of a partition is that of its formula") {
  for_random_draws(30, [](Random& random) {
    const auto [z, u, partition] = draw_partitioned_tokens(random);
    const Index d = z.rows();
    const double epsilon = random.uniform(0.3, 2);
    double expected = 0;
    for (Index k = 0; k < u.heads(); ++k) {
      const double count = partition.row(k).sum(), factor = static_cast<double>(d) / (count * epsilon * epsilon);
      const Matrix<double> gram =
          Matrix<double>::Identity(d, d) + factor * z * partition.row(k).asDiagonal() * z.transpose();
      expected += count / (2 * static_cast<double>(z.cols())) * std::log(gram.determinant());
    }
    CHECK(relative_error(partition_coding_rate(z, partition, {.epsilon = epsilon}), expected) < 1e-10);
  });
}

TEST_CASE("Coding by a partition never costs more than coding together") {
  for_random_draws(100, [](Random& random) {
    const auto [z, u, partition] = draw_partitioned_tokens(random);
    const CodingRateOptions options{.epsilon = random.uniform(0.1, 2)};
    CHECK(partition_coding_rate(z, partition, options) <= coding_rate(z, options) * (1 + 1e-12));
  });
}

TEST_CASE("A partition into one subset has the coding rate itself, and empty subsets add nothing") {
  Random random(2);
  const Matrix<double> z = draw_normal(random, 5, 8);
  Matrix<double> partition = Matrix<double>::Zero(3, 8);
  partition.row(1).setOnes();
  CHECK(partition_coding_rate(z, partition) == coding_rate(z));
  CHECK(partition_coding_rate_gradient(z, partition) == coding_rate_gradient(z));
}

TEST_CASE("The gradient of the coding rate of a partition agrees with finite differences") {
  for_random_draws(10, [](Random& random) {
    const auto [z, u, partition] = draw_partitioned_tokens(random);
    const CodingRateOptions options{.epsilon = random.uniform(0.7, 2)};
    const Matrix<double> pi = partition;
    const auto finding = testing::check_gradient(
        "dR^c/dZ", [&](const Matrix<double>& x) { return partition_coding_rate(x, pi, options); }, z,
        partition_coding_rate_gradient(z, pi, options));
    INFO(finding.report);
    CHECK(finding.holds);
  });
}

TEST_CASE("The coding rate of a partition refuses what it cannot mean") {
  const Matrix<double> z = Matrix<double>::Ones(3, 2), partition = Matrix<double>::Ones(2, 2);
  const Subspaces wrong(Matrix<double>(Matrix<double>::Ones(4, 6)), 2);
  CHECK(message_of<ShapeError>([&] { (void)soft_partition(z, wrong); }) ==
        "subspaces: expected U with 3 rows, as the tokens have, found 4");
  CHECK(message_of<OptionError>([&] {
          (void)soft_partition(z, Subspaces(z, 1), std::numeric_limits<double>::infinity());
        }) == "option: expected a finite logit_scale of the soft partition, found inf");
  CHECK(message_of<ShapeError>([&] { (void)partition_coding_rate(z, partition.leftCols(1)); }) ==
        "coding rate of a partition: columns of the partition: expected 2, found 1");
  CHECK(message_of<OptionError>([&] { (void)partition_coding_rate(z, -partition); }) ==
        "option: expected shares of at least 0, found -1");
  CHECK(message_of<OptionError>([&] { (void)partition_coding_rate_gradient(z, partition, {.epsilon = 0}); }) ==
        "coding rate: expected epsilon > 0, found 0");
}
