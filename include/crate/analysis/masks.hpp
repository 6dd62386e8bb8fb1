// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/operators/patches.hpp"

// Maps over the patches of an image, rows x columns, and masks.

namespace crate {

/// A mask: true for the patches or pixels of an object.
using Mask = Eigen::Array<bool, Eigen::Dynamic, Eigen::Dynamic>;

/// One value per token of an image, arranged as its patches, rows x columns. The tokens are the patches row by row,
/// optionally preceded by the class token, which is left out. Throws ShapeError on another number of tokens.
template <class Derived>
[[nodiscard]] auto over_patches(const Eigen::DenseBase<Derived>& of_tokens, Index rows, Index columns) {
  const Index patches = rows * columns;
  if (of_tokens.size() != patches && of_tokens.size() != patches + 1)
    throw ShapeError(concatenate("map over patches: expected ", patches, " patches, and perhaps a class token, found ",
                                 of_tokens.size(), " tokens"));
  Eigen::Matrix<typename Derived::Scalar, Eigen::Dynamic, Eigen::Dynamic> map(rows, columns);
  const Index first = of_tokens.size() - patches;
  for (Index i = 0; i < patches; ++i) map(i / columns, i % columns) = of_tokens.derived()(first + i);
  return map;
}

/// A map or mask over patches at the image's resolution, image_height() x image_width(): every pixel has the value of
/// its patch. Throws ShapeError unless the map has the size of the grid.
template <class Derived>
[[nodiscard]] Plain<Derived> at_image_resolution(const Eigen::DenseBase<Derived>& map, const PatchGrid& grid) {
  check_shape("map over patches", map, grid.rows, grid.columns);
  Plain<Derived> pixels(grid.image_height(), grid.image_width());
  for (Index x = 0; x < pixels.cols(); ++x)
    for (Index y = 0; y < pixels.rows(); ++y) pixels(y, x) = map.derived()(y / grid.height, x / grid.width);
  return pixels;
}

/// The smallest set of largest entries of a map whose sum is at least `share` of the total; ties in column-major order.
/// Empty for a map of zeros. Published attention masks use the share 0.6. Throws OptionError unless 0 <= share <= 1 and
/// entries are not negative, PrecisionError if they are not finite.
template <class Derived>
[[nodiscard]] Mask top_mass(const Eigen::DenseBase<Derived>& map, double share = 0.6) {
  check_option(share >= 0 && share <= 1, "share of the mass in [0, 1]", share);
  const Matrix<double> values = map.derived().template cast<double>();
  check_finite("map of masses", values);
  if (values.size() > 0) check_option(values.minCoeff() >= 0, "a map without negative entries", values.minCoeff());
  std::vector<Index> order(static_cast<std::size_t>(values.size()));
  std::iota(order.begin(), order.end(), Index{0});
  const auto value = [&](Index i) { return values.reshaped()(i); };
  std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) { return value(i) > value(j); });
  Mask mask = Mask::Constant(values.rows(), values.cols(), false);
  const double wanted = share * values.sum();
  double held = 0;
  for (const Index i : order) {
    if (held >= wanted) break;
    held += value(i);
    mask.reshaped()(i) = true;
  }
  return mask;
}

/// Intersection over union, |A and B| / |A or B|; 1 for two empty masks. Throws ShapeError unless their sizes agree.
[[nodiscard]] inline double intersection_over_union(const Mask& a, const Mask& b) {
  check_shape("intersection over union: second mask", b, a.rows(), a.cols());
  const auto both = static_cast<double>((a && b).count()), either = static_cast<double>((a || b).count());
  return either > 0 ? both / either : 1;
}

}  // namespace crate
