// SPDX-License-Identifier: MIT
// One compression step and its law. An exact step, Z - kappa grad R^c, never raises R^c, and a step on the rate
// reduction, Z + kappa grad (R - R^c), never lowers R - R^c, up to a kappa that largest_kappa tells.

#include <crate/crate.hpp>
#include <iomanip>
#include <iostream>
#include <vector>

int main() {
  // 300 tokens of 12 coordinates, of length 1, each near one of three subspaces of four coordinates, with noise.
  crate::Random random(/*seed*/ 1);
  Eigen::MatrixXd tokens(12, 300);
  random.fill_normal(tokens);
  std::vector<Eigen::Index> subspace_of;
  for (Eigen::Index j = 0; j < tokens.cols(); ++j) {
    subspace_of.push_back(j % 3);
    for (Eigen::Index i = 0; i < tokens.rows(); ++i)
      if (i / 4 != j % 3) tokens(i, j) *= 0.5;
  }
  tokens.colwise().normalize();
  const crate::Subspaces U(Eigen::MatrixXd::Identity(12, 12), /*heads*/ 3);

  // The largest steps for which the laws hold.
  const crate::CodingRateOptions precision{.epsilon = 0.5};
  crate::CompressionOptions exact{.epsilon = 0.5, .step = crate::CompressionStep::exact};
  crate::CompressionOptions partitioned{
      .epsilon = 0.5, .step = crate::CompressionStep::soft_partition, .logit_scale = 8};
  exact.kappa = crate::largest_kappa(U, tokens.cols(), exact);
  partitioned.kappa = crate::largest_kappa(U, tokens.cols(), partitioned);

  std::cout << "        exact                soft partition\n"
               "step    R^c    length        R - R^c    separation\n"
            << std::fixed << std::setprecision(3);
  Eigen::MatrixXd Z = tokens, Y = tokens;
  for (int step = 0; step <= 6; ++step) {
    const Eigen::MatrixXd Pi = crate::soft_partition(Y, U, partitioned.logit_scale);
    const double R = crate::coding_rate(Y, precision), R_c = crate::partition_coding_rate(Y, Pi, precision);
    std::cout << std::setw(4) << step << std::setw(8) << crate::subspace_coding_rate(Z, U, precision) << std::setw(9)
              << Z.colwise().norm().mean() << std::setw(14) << R - R_c << std::setw(14)
              << crate::class_separation(Y, subspace_of).separation << '\n';
    Z = crate::compress(Z, U, exact);
    Y = crate::compress(Y, U, partitioned);
  }
}

// Output:
//
//           exact                soft partition
//   step    R^c    length        R - R^c    separation
//      0   5.064    1.000         0.855         1.378
//      1   0.204    0.160         1.807         1.699
//      2   0.159    0.141         3.532         2.351
//      3   0.133    0.129         5.474         3.437
//      4   0.116    0.120         6.750         4.129
//      5   0.103    0.114         7.600         4.170
//      6   0.094    0.108         8.301         4.225
