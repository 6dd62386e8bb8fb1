// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/testing/finding.hpp"

// Checks of gradients by central differences, in double.
//
// With E_ij the matrix of a single 1 and h the step, entry (i, j) of the gradient of f at X is
//   (4 c(h/2) - c(h)) / 3 + O(h^4),  c(h) = (f(X + h E_ij) - f(X - h E_ij)) / (2 h),
// with rounding of about |f| 2^-52 / h. A step of 1e-3 leaves about 1e-12 of either if f and its derivatives are about
// 1. The function must be smooth within h of X: at a kink, such as a ReLU's at 0, the one-sided slopes differ, and the
// report shows both.

namespace crate::testing {

struct FiniteDifferenceOptions {
  double step = 1e-3;  ///< h > 0; choose it small compared with the scale on which f curves
  double tolerance =
      1e-8;  ///< largest error that counts as agreement, relative to the largest entry of the gradient, or to
             ///< `floor` if that is larger
  double floor = 1e-3;  ///< below it, gradients are compared by absolute error

  void check() const {
    check_option(step > 0, "finite difference step > 0", step);
    check_option(tolerance > 0, "finite difference tolerance > 0", tolerance);
    check_option(floor >= 0, "finite difference floor >= 0", floor);
  }
};

/// The gradient of the scalar function `f` of a matrix, by finite differences; it has the size of `at`.
/// Cost: four calls of f per entry.
template <class Function>
[[nodiscard]] Matrix<double> finite_difference_gradient(const Function& f, Matrix<double> at,
                                                        const FiniteDifferenceOptions& options = {}) {
  options.check();
  Matrix<double> gradient(at.rows(), at.cols());
  for (Index j = 0; j < at.cols(); ++j)
    for (Index i = 0; i < at.rows(); ++i) {
      const double centre = at(i, j);
      const auto central = [&](double h) {
        at(i, j) = centre + h;
        const double above = f(at);
        at(i, j) = centre - h;
        return (above - f(at)) / (2 * h);
      };
      gradient(i, j) = (4 * central(options.step / 2) - central(options.step)) / 3;
      at(i, j) = centre;
    }
  return gradient;
}

namespace detail {

/// The slopes of f to the left and to the right of an entry, as text.
template <class Function>
[[nodiscard]] std::string one_sided_slopes(const Function& f, Matrix<double> at, Index i, Index j, double h) {
  const double centre = at(i, j), here = f(at);
  at(i, j) = centre - h;
  const double left = (here - f(at)) / h;
  at(i, j) = centre + h;
  const double right = (f(at) - here) / h;
  return concatenate("slopes to the left and right ", left, " and ", right);
}

}  // namespace detail

/// Law: `gradient` is the gradient of `f` at `at`. `what` is its name in the report, such as "dR/dZ".
/// Throws ShapeError unless the gradient is of the size of `at`.
template <class Function, class Derived>
[[nodiscard]] Finding check_gradient(std::string_view what, const Function& f, const Matrix<double>& at,
                                     const Eigen::MatrixBase<Derived>& gradient,
                                     const FiniteDifferenceOptions& options = {}) {
  check_shape(what, gradient, at.rows(), at.cols());
  const Matrix<double> analytic = gradient.template cast<double>();
  const Matrix<double> numeric = finite_difference_gradient(f, at, options);
  if (at.size() == 0) return {};
  const double scale = std::max(options.floor, numeric.cwiseAbs().maxCoeff());
  Matrix<double> errors = (analytic - numeric).cwiseAbs() / scale;
  errors = errors.unaryExpr([](double e) { return std::isnan(e) ? std::numeric_limits<double>::infinity() : e; });
  Index i = 0, j = 0;
  const double worst = errors.maxCoeff(&i, &j);
  return {worst <= options.tolerance,
          concatenate(what, ": largest error ", worst, " of the scale ", scale, " (tolerance ", options.tolerance,
                      ") at (", i, ", ", j, "): by differences ", numeric(i, j), ", found ", analytic(i, j), "; ",
                      detail::one_sided_slopes(f, at, i, j, options.step))};
}

}  // namespace crate::testing
