// SPDX-License-Identifier: MIT
// What a token costs to code, R, and what it costs whoever knows the subspaces that tokens come from, R^c.

#include <crate/crate.hpp>
#include <iomanip>
#include <iostream>

int main() {
  // 300 tokens of 12 coordinates, a token a column. Each lies near one of three subspaces: U_1 is spanned by the first
  // four coordinates, U_2 by the next four, U_3 by the last four.
  crate::Random random(/*seed*/ 1);
  Eigen::MatrixXd Z(12, 300), G(12, 12);
  random.fill_normal(Z);
  for (Eigen::Index j = 0; j < Z.cols(); ++j)
    for (Eigen::Index i = 0; i < Z.rows(); ++i)
      if (i / 4 != j % 3) Z(i, j) *= 0.05;
  const crate::Subspaces U(Eigen::MatrixXd::Identity(12, 12), /*heads*/ 3);

  // Three others, which have nothing to do with the tokens.
  random.fill_normal(G);
  const crate::Subspaces V(G.householderQr().householderQ() * Eigen::MatrixXd::Identity(12, 12), /*heads*/ 3);

  // Rates are in nats a token, coded with a root mean squared error of epsilon.
  const crate::CodingRateOptions precision{.epsilon = 0.5};
  const double R = crate::coding_rate(Z, precision);
  std::cout << std::fixed << std::setprecision(4) << "R(Z)              " << R << '\n';

  // The paper's R^c codes every token in each of the subspaces.
  const double R_c = crate::subspace_coding_rate(Z, U, precision);
  std::cout << "R^c(Z | U)        " << R_c << "   saves " << R - R_c << '\n';

  // Who says which subspace a token is in codes it once. Pi, K x N, holds how much of each token is in each subspace.
  const double R_U = crate::partition_coding_rate(Z, crate::soft_partition(Z, U), precision);
  const double R_V = crate::partition_coding_rate(Z, crate::soft_partition(Z, V), precision);
  std::cout << "R^c(Z | Pi of U)  " << R_U << "   saves " << R - R_U << '\n';
  std::cout << "R^c(Z | Pi of V)  " << R_V << "   saves " << R - R_V << '\n';

  // Every rate has its gradient beside it, which differences confirm.
  const Eigen::MatrixXd gradient = crate::rate_reduction_gradient(Z, U, precision).tokens;
  const Eigen::MatrixXd differences = crate::testing::finite_difference_gradient(
      [&](const Eigen::MatrixXd& tokens) { return crate::rate_reduction(tokens, U, precision); }, Z);
  std::cout << "d(R - R^c)/dZ     of norm " << std::setprecision(8) << gradient.norm() << ", by differences "
            << differences.norm() << '\n';
}

// Output:
//
//   R(Z)              17.0547
//   R^c(Z | U)        11.1396   saves 5.9150
//   R^c(Z | Pi of U)  11.1174   saves 5.9373
//   R^c(Z | Pi of V)  16.2709   saves 0.7838
//   d(R - R^c)/dZ     of norm 0.03762923, by differences 0.03762923
