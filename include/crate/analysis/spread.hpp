// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "crate/core/matrix.hpp"

namespace crate {

/// Mean and standard deviation of a stream of numbers x_1, ..., x_n, which are not stored:
///   mean = sum_i x_i / n,   deviation = (sum_i (x_i - mean)^2 / (n - 1))^{1/2}.
/// Source: Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 4 (1962).
class Spread {
 public:
  void add(double x) {
    ++count_;
    const double before = x - mean_;
    mean_ += before / static_cast<double>(count_);
    squares_ += before * (x - mean_);
  }

  [[nodiscard]] Index count() const { return count_; }
  [[nodiscard]] double mean() const { return mean_; }  ///< 0 if there are none
  /// 0 for fewer than two numbers.
  [[nodiscard]] double deviation() const {
    return count_ > 1 ? std::sqrt(squares_ / static_cast<double>(count_ - 1)) : 0;
  }

 private:
  Index count_ = 0;
  double mean_ = 0;
  double squares_ = 0;  // sum_i (x_i - mean)^2
};

}  // namespace crate
