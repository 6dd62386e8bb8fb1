// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <exception>
#include <limits>
#include <string>

#include "crate/core/matrix.hpp"

// How far apart two results are, and what a call throws.

namespace crate::test {

/// ||found - expected|| / ||expected|| in the Frobenius norm (absolute where nothing but zeros is expected), infinite
/// for matrices of different sizes, NaN if either holds one.
template <class Found, class Expected>
[[nodiscard]] double relative_error(const Eigen::MatrixBase<Found>& found,
                                    const Eigen::MatrixBase<Expected>& expected) {
  if (found.rows() != expected.rows() || found.cols() != expected.cols())
    return std::numeric_limits<double>::infinity();
  const Matrix<double> x = found.template cast<double>(), y = expected.template cast<double>();
  const double scale = y.norm();
  return (x - y).norm() / (scale > 0 ? scale : 1);
}

[[nodiscard]] inline double relative_error(double found, double expected) {
  return std::abs(found - expected) / (expected != 0 ? std::abs(expected) : 1);
}

/// Whether no entry of |error| is larger than that of the bound; false if one is NaN.
template <class Error, class Bound>
[[nodiscard]] bool is_within(const Eigen::MatrixBase<Error>& error, const Eigen::MatrixBase<Bound>& bound) {
  return (error.cwiseAbs().array() <= bound.array()).all();
}

/// What a few dozen roundings may add up to, relative to the result.
template <Scalar S>
inline constexpr double rounding = 64 * double{std::numeric_limits<S>::epsilon()};

/// The message of the `Error` that the call throws; otherwise what it does instead.
template <class Error, class Call>
[[nodiscard]] std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) { return error.what(); } catch (const std::exception& other) {
    return std::string("threw an error of another type: ") + other.what();
  }
  return "threw nothing";
}

}  // namespace crate::test
