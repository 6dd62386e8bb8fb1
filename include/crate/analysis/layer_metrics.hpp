// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/coding_rate.hpp"

// What the published figures show of every layer: the coding rate of the projected tokens and how many entries are
// zero.

namespace crate {

/// Of one layer, over the token sets of a batch.
struct LayerMetrics {
  double coding_rate_mean = 0;
  double coding_rate_deviation = 0;  ///< over sets - 1; 0 for one set
  double zero_fraction = 0;          ///< of the entries after the block, those that are exactly zero
};

/// 1/2 sum_k log det(I + p / (m eps) X_k^T X_k) of projected tokens H = U^T Z, (K p) x m, where X_k are the head's rows
/// with every token scaled to unit length (a token of zeros stays). eps stands where the paper's epsilon^2 stands. In
/// nats. Source: the published visualisation code, which takes eps = 0.01.
template <class HDerived>
[[nodiscard]] double projected_coding_rate(const Eigen::MatrixBase<HDerived>& projected, Index heads,
                                           double eps = 0.01) {
  if (heads < 1 || projected.rows() % heads != 0)
    throw ShapeError(
        concatenate("coding rate: expected a number of heads that divides ", projected.rows(), " rows, found ", heads));
  const Index p = projected.rows() / heads;
  double rate = 0;
  for (Index k = 0; k < heads; ++k)
    rate += coding_rate(projected.middleRows(k * p, p).template cast<double>().colwise().normalized().eval(),
                        {.epsilon = std::sqrt(eps)});
  return rate;
}

/// Measures every layer of an encoder while it runs: hand `observer()` to its forward pass, then read `layers()`.
/// Looks at half-steps named "...compress.projection" and "...sparsify"; a second pass adds its layers behind the
/// first's.
template <Scalar S>
class LayerMeter {
 public:
  LayerMeter(TokenLayout layout, Index heads) : layout_(std::move(layout)), heads_(heads) {}

  [[nodiscard]] const std::vector<LayerMetrics>& layers() const { return layers_; }

  [[nodiscard]] Observer<S> observer() {
    return [this](std::string_view name, const Eigen::Ref<Matrix<S>>& activation) { see(name, activation); };
  }

  void see(std::string_view name, const Eigen::Ref<Matrix<S>>& activation) {
    if (name == "compress.projection" || name.ends_with(".compress.projection")) {
      measure_rate(activation);
    } else if (name.ends_with("sparsify") && !layers_.empty()) {
      const auto zeros = static_cast<double>((activation.array() == S(0)).count());
      layers_.back().zero_fraction = zeros / static_cast<double>(activation.size());
    }
  }

 private:
  void measure_rate(const Eigen::Ref<Matrix<S>>& projected) {
    check_size("layer meter: tokens", projected.cols(), layout_.tokens());
    if (layout_.sets() == 0) return;
    Vector<double> rates(layout_.sets());
    for (Index s = 0; s < layout_.sets(); ++s)
      rates(s) = projected_coding_rate(projected.middleCols(layout_.begin(s), layout_.length(s)), heads_);
    const double mean = rates.mean();
    const auto freedom = static_cast<double>(layout_.sets() - 1);
    const double deviation = freedom > 0 ? std::sqrt((rates.array() - mean).square().sum() / freedom) : 0;
    layers_.push_back({.coding_rate_mean = mean, .coding_rate_deviation = deviation, .zero_fraction = 0});
  }

  TokenLayout layout_;
  Index heads_;
  std::vector<LayerMetrics> layers_;
};

}  // namespace crate
