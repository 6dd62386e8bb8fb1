// SPDX-License-Identifier: MIT
#include <crate/crate.hpp>

double rate_in_second_unit(const Eigen::MatrixXd& tokens) { return crate::coding_rate(tokens, {.epsilon = 0.5}); }
