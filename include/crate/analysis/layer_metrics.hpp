// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/find_layer.hpp"
#include "crate/layers/mssa.hpp"
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

/// Measures every layer of an encoder while it runs: hand `observer()` to the forward pass of the model, then read
/// `layers()`. Looks at half-steps named "...compress.projection" and "...sparsify", but for those of a decoder; a
/// second pass adds its layers behind the first's.
template <Scalar S>
class LayerMeter {
 public:
  /// Of this model, or one of its structure.
  template <class Model>
  explicit LayerMeter(const Model& model) {
    for_each_layer<Mssa<S>>(model, [&](std::string_view name, const Mssa<S>& layer) {
      if (name.ends_with("compress") && !name.ends_with("decompress"))
        heads_.emplace(join_names(name, "projection"), layer.subspaces.heads());
    });
  }

  [[nodiscard]] const std::vector<LayerMetrics>& layers() const { return layers_; }

  [[nodiscard]] Observer<S> observer() {
    return [this](const HalfStep<S>& step) { see(step); };
  }

  void see(const HalfStep<S>& step) {
    if (const auto heads = heads_.find(step.name); heads != heads_.end()) {
      measure_rate(step, heads->second);
    } else if (step.name.ends_with("sparsify") && !layers_.empty()) {
      const auto zeros = static_cast<double>((step.activation.array() == S(0)).count());
      layers_.back().zero_fraction = zeros / static_cast<double>(step.activation.size());
    }
  }

 private:
  void measure_rate(const HalfStep<S>& step, Index heads) {
    const TokenLayout& layout = step.layout;
    Vector<double> rates(layout.sets());
    for (Index s = 0; s < layout.sets(); ++s)
      rates(s) = projected_coding_rate(step.activation.middleCols(layout.begin(s), layout.length(s)), heads);
    const double mean = rates.mean();
    const auto freedom = static_cast<double>(layout.sets() - 1);
    const double deviation = freedom > 0 ? std::sqrt((rates.array() - mean).square().sum() / freedom) : 0;
    layers_.push_back({.coding_rate_mean = mean, .coding_rate_deviation = deviation, .zero_fraction = 0});
  }

  std::map<std::string, Index, std::less<>> heads_;  // of the projection of this name
  std::vector<LayerMetrics> layers_;
};

}  // namespace crate
