// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "crate/analysis/compression_step.hpp"
#include "crate/analysis/layer_subspaces.hpp"
#include "crate/analysis/spread.hpp"
#include "crate/core/threads.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/pass.hpp"

namespace crate {

/// How the steps of one layer compare with exact ones, over token sets.
struct StepMetrics {
  std::string name;     ///< name of the half-layer, such as "layers.3.compress"
  Spread cosine;        ///< see StepComparison
  Spread change;        ///< relative to the rate before, (R^c(X + S) - R^c(X)) / R^c(X)
  Spread exact_change;  ///< relative change of R^c by the exact step of that length
};

/// Compares the step of every layer that has subspaces with the exact step on X, the tokens on which its subspaces act.
/// S is what the layer adds, Z^{l+1/2} - Z^l, or, for steps on directions, the change of the directions. Measures while
/// a model runs: pass `observer()` to its forward passes, then read `layers()`. Sets of rate 0 count as unchanged.
template <Scalar S>
class StepMeter {
 public:
  /// Keeps references to the model and the threads; both must outlive the meter, and the model must not move.
  template <class Model>
  explicit StepMeter(const Model& model, const CodingRateOptions& options = {}, Threads* threads = nullptr)
      : options_(options), threads_(threads != nullptr ? *threads : own_threads_), subspaces_(layer_subspaces(model)) {
    static_assert(FrontEnd<Model>, "a meter of steps sees what enters a layer in models of images or words alone");
    options.check();
    for (const LayerSubspaces<S>& layer : subspaces_)
      layers_.push_back({.name = layer.name, .cosine = {}, .change = {}, .exact_change = {}});
  }
  template <class Model>
  explicit StepMeter(const Model&& model, const CodingRateOptions& options = {}, Threads* threads = nullptr) = delete;
  StepMeter(const StepMeter&) = delete;
  StepMeter& operator=(const StepMeter&) = delete;

  [[nodiscard]] const std::vector<StepMetrics>& layers() const { return layers_; }

  [[nodiscard]] Observer<S> observer() {
    return [this](const HalfStep<S>& step) { see(step); };
  }

  /// Throws ShapeError if the pass is one of a model of other sizes.
  void see(const HalfStep<S>& step) {
    for (std::size_t i = 0; i < subspaces_.size(); ++i) {
      if (step.name == subspaces_[i].name) compare(i, step);
      if (step.name.starts_with(subspaces_[i].name + ".")) return;  // is not the input of a layer
    }
    latest_ = step.activation;
  }

 private:
  void compare(std::size_t index, const HalfStep<S>& step) {
    const LayerSubspaces<S>& layer = subspaces_[index];
    const TokenLayout& layout = step.layout;
    check_shape(layer.name + ": input tokens", latest_, layer.subspaces.dim(), layout.tokens());
    check_shape(layer.name + ": output tokens", step.activation, layer.subspaces.dim(), layout.tokens());
    const Matrix<S> x = layer.seen(latest_, threads_), added = layer.step(latest_, step.activation, threads_);
    const Vector<double> bias = layer.bias.template cast<double>();
    std::vector<StepComparison> results(static_cast<std::size_t>(layout.sets()));
    threads_.for_each(layout.sets(), [&](Index s, int) {
      const Index begin = layout.begin(s), count = layout.visible(s);
      results[static_cast<std::size_t>(s)] = compare_with_exact_step(x.middleCols(begin, count), layer.subspaces,
                                                                     added.middleCols(begin, count), options_, bias);
    });
    for (const StepComparison& result : results) {
      const double scale = result.rate > 0 ? 1 / result.rate : 0;
      layers_[index].cosine.add(result.cosine);
      layers_[index].change.add(scale * result.change);
      layers_[index].exact_change.add(scale * result.exact_change);
    }
  }

  CodingRateOptions options_;
  Threads own_threads_;
  Threads& threads_;
  std::vector<LayerSubspaces<S>> subspaces_;
  std::vector<StepMetrics> layers_;
  Matrix<S> latest_;  // the input of the half-layer that runs
};

}  // namespace crate
