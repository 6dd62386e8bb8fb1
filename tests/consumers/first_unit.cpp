// SPDX-License-Identifier: MIT
#include <crate/crate.hpp>
#include <cstdio>

double rate_in_second_unit(const Eigen::MatrixXd& tokens);

int main() {
  crate::Random random(1);
  Eigen::MatrixXd tokens(7, 11);
  random.fill_normal(tokens);
  const double here = crate::coding_rate(tokens, {.epsilon = 0.5});
  const double there = rate_in_second_unit(tokens);
  std::printf("crate %d.%d.%d: coding rate %g in one unit, %g in the other\n", CRATE_VERSION_MAJOR, CRATE_VERSION_MINOR,
              CRATE_VERSION_PATCH, here, there);
  return here == there && here > 0 ? 0 : 1;
}
