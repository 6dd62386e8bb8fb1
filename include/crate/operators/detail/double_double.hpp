// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

// A number as the unevaluated sum of two doubles: some 31 digits. For Gram matrices whose small eigenvalues double
// loses. Source: Dekker, "A floating-point technique for extending the available precision", Numer. Math. 18 (1971),
// with sums as in Li et al., "Design, implementation and testing of extended and mixed precision BLAS", TOMS 28 (2002).

// Sums in the order written, whatever clang was told of all others: it has no macro by which to refuse
// -fassociative-math, under which the lower half of every number would be zero. Begins the body of a function.
#ifdef __clang__
#define CRATE_SUMS_IN_ORDER _Pragma("clang fp reassociate(off)")
#else
#define CRATE_SUMS_IN_ORDER
#endif

namespace crate::detail {

class DoubleDouble {
 public:
  DoubleDouble() = default;
  DoubleDouble(double value) : high_(value) {}  // NOLINT(google-explicit-constructor): every double is one, exactly

  explicit operator double() const {
    CRATE_SUMS_IN_ORDER
    return high_ + low_;
  }

  friend DoubleDouble operator-(const DoubleDouble& x) { return {-x.high_, -x.low_}; }
  friend DoubleDouble operator+(const DoubleDouble& x, const DoubleDouble& y) {
    CRATE_SUMS_IN_ORDER
    DoubleDouble high = exact_sum(x.high_, y.high_);
    const DoubleDouble low = exact_sum(x.low_, y.low_);
    high = exact_sum_of_falling(high.high_, high.low_ + low.high_);
    return exact_sum_of_falling(high.high_, high.low_ + low.low_);
  }
  friend DoubleDouble operator-(const DoubleDouble& x, const DoubleDouble& y) { return x + -y; }
  friend DoubleDouble operator*(const DoubleDouble& x, const DoubleDouble& y) {
    CRATE_SUMS_IN_ORDER
    const DoubleDouble high = exact_product(x.high_, y.high_);
    return exact_sum_of_falling(high.high_, high.low_ + (x.high_ * y.low_ + x.low_ * y.high_));
  }
  friend DoubleDouble operator/(const DoubleDouble& x, const DoubleDouble& y) {
    CRATE_SUMS_IN_ORDER
    const double first = x.high_ / y.high_;
    DoubleDouble rest = x - y * first;
    const double second = rest.high_ / y.high_;
    rest -= y * second;
    return DoubleDouble(first) + second + rest.high_ / y.high_;
  }
  DoubleDouble& operator+=(const DoubleDouble& y) { return *this = *this + y; }
  DoubleDouble& operator-=(const DoubleDouble& y) { return *this = *this - y; }
  DoubleDouble& operator*=(const DoubleDouble& y) { return *this = *this * y; }
  DoubleDouble& operator/=(const DoubleDouble& y) { return *this = *this / y; }

  friend bool operator==(const DoubleDouble& x, const DoubleDouble& y) {
    return x.high_ == y.high_ && x.low_ == y.low_;
  }

 private:
  DoubleDouble(double high, double low) : high_(high), low_(low) {}

  [[nodiscard]] static DoubleDouble exact_sum(double x, double y) {
    CRATE_SUMS_IN_ORDER
    const double sum = x + y, y_in_sum = sum - x;
    return {sum, (x - (sum - y_in_sum)) + (y - y_in_sum)};
  }
  /// Needs |x| >= |y|.
  [[nodiscard]] static DoubleDouble exact_sum_of_falling(double x, double y) {
    CRATE_SUMS_IN_ORDER
    const double sum = x + y;
    return {sum, y - (sum - x)};
  }
  [[nodiscard]] static DoubleDouble exact_product(double x, double y) {
    CRATE_SUMS_IN_ORDER
#ifdef __FP_FAST_FMA  // then a compiler may fuse a plain product with the sums it goes into
    const double product = std::fma(x, y, 0.0);
#else
    const double product = x * y;
#endif
    return {product, std::fma(x, y, -product)};
  }

  double high_ = 0, low_ = 0;
};

}  // namespace crate::detail

#undef CRATE_SUMS_IN_ORDER
