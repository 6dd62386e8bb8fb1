// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"

// Linear maps along one axis of a picture: resizing and blurring.

namespace crate {

/// Sample i of an axis becomes sum_t weights(t, i) x[first[i] + t], t = 0, ..., count[i] - 1.
template <Scalar S>
struct AxisTaps {
  Index from = 0;  ///< samples of x
  std::vector<Index> first = {};
  std::vector<Index> count = {};
  Matrix<S> weights = {};  ///< (most taps of a sample) x samples; those of each sum to one

  [[nodiscard]] Index size() const { return std::ssize(first); }
};

/// What lies between samples.
enum class Interpolation {
  linear,  ///< of the two nearest
  cubic    ///< of the four nearest: cubic convolution with a = -1/2
};

namespace detail {

/// The weight of a sample at this distance >= 0, in samples, in cubic convolution: 0 from 2 on. Pillow, and PyTorch's
/// bicubic interpolation with antialias=True, take a = -1/2; PyTorch's without takes a = -3/4.
[[nodiscard]] inline double cubic_convolution_weight(double x, double a) {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// The weight of a sample at this distance, in samples.
[[nodiscard]] inline double interpolation_weight(Interpolation interpolation, double distance) {
  const double x = std::abs(distance);
  return interpolation == Interpolation::linear ? std::max(0.0, 1 - x) : cubic_convolution_weight(x, -0.5);
}

}  // namespace detail

/// Resizes an axis of `from` samples to `to`: sample centres aligned, the interpolation widened when shrinking so that
/// every sample counts, and cut at the ends. Weights are those of Pillow and of PyTorch's `antialias=True`.
/// Throws ShapeError unless both are at least 1.
template <Scalar S>
[[nodiscard]] AxisTaps<S> resizing_taps(Index from, Index to, Interpolation interpolation) {
  if (from < 1 || to < 1)
    throw ShapeError(concatenate("resized axis: expected at least 1 sample, found ", to, " from ", from));
  const double scale = static_cast<double>(from) / static_cast<double>(to), widening = std::max(scale, 1.0);
  const double support = interpolation == Interpolation::cubic ? 2 * widening : widening;
  AxisTaps<S> taps{.from = from};
  taps.weights.setZero(std::min(from, static_cast<Index>(2 * std::ceil(support)) + 1), to);
  Vector<double> weights(taps.weights.rows());
  for (Index i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<Index>(0, static_cast<Index>(std::floor(centre - support + 0.5)));
    const auto last = std::min<Index>(from, static_cast<Index>(std::floor(centre + support + 0.5)));
    double sum = 0;
    for (Index j = first; j < last; ++j) {
      weights(j - first) =
          detail::interpolation_weight(interpolation, (static_cast<double>(j) + 0.5 - centre) / widening);
      sum += weights(j - first);
    }
    taps.first.push_back(first);
    taps.count.push_back(last - first);
    taps.weights.col(i).head(last - first) = (weights.head(last - first) / sum).template cast<S>();
  }
  return taps;
}

/// The largest deviation of a blur, in samples: time grows with it.
inline constexpr double largest_blur = 1000;

/// Blurs an axis of `size` samples by a Gaussian of this deviation, in samples, cut at four deviations. Beyond the ends
/// the axis goes on in a mirror, x[-1] = x[0], x[-2] = x[1], ..., so that the mean over the axis stays what it is.
/// Throws ShapeError unless size >= 1, OptionError unless the deviation is in [0, largest_blur].
template <Scalar S>
[[nodiscard]] AxisTaps<S> blurring_taps(Index size, double deviation) {
  if (size < 1) throw ShapeError(concatenate("blurred axis: expected at least 1 sample, found ", size));
  check_option(deviation >= 0 && deviation <= largest_blur,
               concatenate("deviation of a blur in [0, ", largest_blur, "]"), deviation);
  const auto radius = static_cast<Index>(std::ceil(4 * deviation));
  Vector<double> bell(radius + 1);
  for (Index t = 0; t <= radius; ++t) {
    const double x = t == 0 ? 0 : static_cast<double>(t) / deviation;
    bell(t) = std::exp(-x * x / 2);
  }
  bell /= 2 * bell.sum() - bell(0);
  const auto mirrored = [size](Index j) {
    const Index place = ((j % (2 * size)) + 2 * size) % (2 * size);
    return place < size ? place : 2 * size - 1 - place;
  };
  AxisTaps<S> taps{.from = size};
  taps.weights.setZero(std::min(size, 2 * radius + 1), size);
  Vector<double> weights(size);
  for (Index i = 0; i < size; ++i) {
    const Index first = std::max<Index>(0, i - radius), last = std::min(size, i + radius + 1);
    weights.setZero();
    for (Index t = -radius; t <= radius; ++t) weights(mirrored(i + t)) += bell(std::abs(t));
    taps.first.push_back(first);
    taps.count.push_back(last - first);
    taps.weights.col(i).head(last - first) = weights.segment(first, last - first).template cast<S>();
  }
  return taps;
}

namespace detail {

/// Column i of the result is sample i of the mapped columns.
template <Scalar S>
void map_columns(ConstTokens<S> columns, const AxisTaps<S>& taps, Tokens<S> out) {
  for (Index i = 0; i < taps.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    out.col(i).noalias() =
        columns.middleCols(taps.first[at], taps.count[at]) * taps.weights.col(i).head(taps.count[at]);
  }
}

}  // namespace detail

/// Both axes of a part of several planes side by side, each width x height: rows of the part by `across`, columns by
/// `down`. The part begins at (left, top) of every plane and is as large as the axes that are mapped. Returns
/// across.size() x (down.size() planes).
/// Throws ShapeError unless the columns are whole planes, and the part is within them.
template <Scalar S>
[[nodiscard]] Matrix<S> map_axes(const Matrix<S>& planes, Index height, const AxisTaps<S>& across, Index left,
                                 const AxisTaps<S>& down, Index top) {
  if (height < 1 || planes.cols() % height != 0)
    throw ShapeError(
        concatenate("planes: expected columns that are a multiple of ", height, ", found ", planes.cols()));
  if (left < 0 || top < 0 || across.from > planes.rows() - left || down.from > height - top)
    throw ShapeError(concatenate("part of planes: expected to lie within ", planes.rows(), " x ", height, ", found ",
                                 across.from, " x ", down.from, " at ", left, ", ", top));
  const Index count = planes.cols() / height;
  Matrix<S> result(across.size(), down.size() * count);
  Matrix<S> low(across.from, down.size()), turned(down.size(), across.from), mapped(down.size(), across.size());
  for (Index p = 0; p < count; ++p) {
    detail::map_columns<S>(planes.block(left, p * height + top, across.from, down.from), down, low);
    turned = low.transpose();
    detail::map_columns<S>(turned, across, mapped);
    result.middleCols(p * down.size(), down.size()) = mapped.transpose();
  }
  return result;
}

}  // namespace crate
