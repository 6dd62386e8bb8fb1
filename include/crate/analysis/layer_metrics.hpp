// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/analysis/layer_subspaces.hpp"
#include "crate/analysis/spread.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/layers/layer.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/coding_rate.hpp"
#include "crate/operators/rate_reduction.hpp"
#include "crate/operators/unit_columns.hpp"

// The effect of every layer on the objective from which it is derived, the sparse rate reduction
// R - R^c - lambda ||Z||_0.
//
// Letters: Z tokens of one set, d x N; U_[K] the subspaces of the layer, d x (K p); X the tokens on which they act,
// LN(Z) after a layer norm, otherwise Z; H = U^T X.

namespace crate {

/// 1/2 sum_k log det(I + p / (m eps) X_k^T X_k) of projected tokens H = U^T Z, (K p) x m, in nats. X_k are the head's
/// rows with every token scaled to unit length (a token of zeros stays). eps takes the place of the paper's epsilon^2.
/// Source: the published visualisation code, which uses eps = 0.01.
template <class HDerived>
[[nodiscard]] double projected_coding_rate(const Eigen::MatrixBase<HDerived>& projected, Index heads,
                                           double eps = 0.01) {
  const Index p = detail::projected_head_dim("coding rate", projected.rows(), heads);
  double rate = 0;
  for (Index k = 0; k < heads; ++k)
    rate += coding_rate(unit_columns<double>(projected.middleRows(k * p, p).template cast<double>()),
                        {.epsilon = std::sqrt(eps)});
  return rate;
}

struct LayerMeterOptions {
  double epsilon = 0.5;         ///< of the paper's rates, > 0
  double lambda = 0.1;          ///< weight of ||Z||_0 in the objective, >= 0
  double published_eps = 0.01;  ///< > 0; takes the place of epsilon^2 in the published code's rate
  bool paper_rates = true;      ///< whether to measure R, R^c and what follows from them, too

  void check() const {
    SparseRateReductionOptions{.epsilon = epsilon, .lambda = lambda}.check();
    check_option(std::isfinite(published_eps) && published_eps > 0, "published eps > 0", published_eps);
  }
};

/// Statistics over token sets at one place in a model; rates in nats. Padding is ignored. A set of zeros has rate 0 and
/// no non-zero entries. Quantities that the options switch off have a count of 0. For models of floats, rates have a
/// relative error of at most 1e-4, typically 1e-8, as their Gram matrices are summed in floats. So R - R^c and the
/// objective are accurate to 1e-4 (R + R^c).
struct TokenMetrics {
  Spread rate;                     ///< R(X)
  Spread subspace_rate;            ///< R^c(X | U_[K])
  Spread rate_reduction;           ///< R - R^c
  Spread objective;                ///< R - R^c - lambda ||Z||_0
  Spread published_rate;           ///< R^c as the published code computes it, projected_coding_rate in double
  Spread non_zero;                 ///< ||Z||_0 / (d N), the share of entries that are not exactly zero
  std::vector<Spread> head_rates;  ///< R(U_k^T X) of every head

  [[nodiscard]] bool is_measured() const { return non_zero.count() > 0; }
};

/// Metrics of the block around one half-layer with subspaces, all measured with this layer's subspaces.
struct LayerMetrics {
  std::string name;      ///< name of that half-layer, such as "layers.3.compress"
  TokenMetrics before;   ///< Z^l, its input
  TokenMetrics between;  ///< Z^{l+1/2}, its output
  TokenMetrics after;    ///< Z^{l+1}, after the block's other half; not measured in decoders, where it comes first
  Spread code_non_zero;  ///< share of non-zero codes inside an overcomplete or MLP half; a count of 0 if there are none
};

/// Measures every layer of a model while it runs: pass `observer()` to forward passes over any number of batches, then
/// read `layers()`. Keeps one batch's tokens of one layer only. In blocks of one width the cost is two projections and
/// seven Gram matrices per layer. For a layer that runs several times in a pass, as inside Inverse, `before` is the
/// input of its first run. Folded models pass no projected tokens on, so that `before` is not measured.
template <Scalar S>
class LayerMeter {
 public:
  /// Keeps references to the model and the threads; both must outlive the meter, and the model must not move. Throws
  /// OptionError if an option is out of range.
  template <class Model>
  explicit LayerMeter(const Model& model, const LayerMeterOptions& options = {}, Threads* threads = nullptr)
      : options_(options),
        threads_(threads != nullptr ? *threads : own_threads_),
        subspaces_(layer_subspaces(model)),
        awaits_tokens_(!FrontEnd<Model>) {
    options.check();
    for (std::size_t i = 0; i < subspaces_.size(); ++i) {
      LayerMetrics layer{.name = subspaces_[i].name, .before = {}, .between = {}, .after = {}, .code_non_zero = {}};
      for (TokenMetrics* const metrics : {&layer.before, &layer.between, &layer.after})
        metrics->head_rates.resize(static_cast<std::size_t>(subspaces_[i].subspaces.heads()));
      layers_.push_back(std::move(layer));
      halves_.emplace(subspaces_[i].name, i);
      projections_.emplace(join_names(subspaces_[i].name, "projection"), i);
    }
  }
  template <class Model>
  explicit LayerMeter(const Model&& model, const LayerMeterOptions& options = {}, Threads* threads = nullptr) = delete;
  LayerMeter(const LayerMeter&) = delete;
  LayerMeter& operator=(const LayerMeter&) = delete;

  /// One entry for every layer with subspaces, in the model's order.
  [[nodiscard]] const std::vector<LayerMetrics>& layers() const { return layers_; }

  [[nodiscard]] Observer<S> observer() {
    return [this](const HalfStep<S>& step) { see(step); };
  }

  /// Sets the input tokens of the next pass. Call it before each pass of a bare block or stack, whose input no observer
  /// sees. Image and language models do not need it.
  void enter(ConstTokens<S> tokens) {
    latest_ = tokens;
    was_told_ = true;
    running_.reset();
  }

  /// Throws OptionError if `enter` should have been called and was not, ShapeError if its tokens had another size
  /// or the pass is one of a model of other sizes.
  void see(const HalfStep<S>& step) {
    if (running_ && !is_inside(step.name, layers_[*running_].name)) running_.reset();
    if (const auto of_layer = layer_projecting(step.name)) {
      if (of_layer != running_) measure_entering(*of_layer, step);
      running_ = of_layer;
    } else if (const auto found = halves_.find(step.name); found != halves_.end()) {
      measure_behind(found->second, layers_[found->second].between, step.activation, step.layout);
      open_ = found->second;
      latest_ = step.activation;
    } else {
      if (open_) see_behind(*open_, step);
      if (!running_) latest_ = step.activation;
    }
  }

 private:
  [[nodiscard]] std::optional<std::size_t> layer_projecting(std::string_view name) const {
    const auto found = projections_.find(name);
    return found != projections_.end() ? std::optional(found->second) : std::nullopt;
  }

  /// "layers.3." of "layers.3.compress".
  [[nodiscard]] static std::string_view block_of(std::string_view layer) {
    return layer.substr(0, layer.rfind('.') + 1);  // npos + 1 = 0
  }

  [[nodiscard]] static bool is_inside(std::string_view half_step, std::string_view layer) {
    return half_step.size() > layer.size() && half_step.starts_with(layer) && half_step[layer.size()] == '.';
  }

  void measure_entering(std::size_t index, const HalfStep<S>& step) {
    open_.reset();
    if (awaits_tokens_ && index == 0) {  // latest_ is still from the previous pass
      if (!was_told_)
        throw OptionError(
            concatenate("layer meter: expected a call of enter(tokens) before this pass of a block or stack, "
                        "whose first half-step is '",
                        step.name, "', found none"));
      was_told_ = false;
    }
    check_size(layers_[index].name + ": input tokens", latest_.cols(), step.layout.tokens());
    const Matrix<S> x = subspaces_[index].seen(latest_, threads_);
    measure(index, layers_[index].before, latest_, x, projection(index, step), step.layout);
  }

  /// H of a layer, (K p) x N, in the half-step that projects its tokens.
  [[nodiscard]] auto projection(std::size_t index, const HalfStep<S>& step) const {
    const LayerSubspaces<S>& layer = subspaces_[index];
    check_size(concatenate(step.name, ": rows"), step.activation.rows(), layer.projected_rows);
    return step.activation.middleRows(layer.first_row, layer.subspaces.bases().cols());
  }

  /// Handles half-steps of the block's other half: its codes, and its output. Any other half-step of the model ends the
  /// block.
  void see_behind(std::size_t index, const HalfStep<S>& step) {
    const std::string_view block = block_of(layers_[index].name);
    if (!step.name.starts_with(block)) return open_.reset();
    const std::string_view half = step.name.substr(block.size());
    if (half.ends_with(".codes") || half.ends_with(".activation"))
      for (Index s = 0; s < step.layout.sets(); ++s)
        layers_[index].code_non_zero.add(non_zero_share(visible(step.activation, step.layout, s)));
    if (half.find('.') != std::string_view::npos) return;
    if (step.activation.rows() == subspaces_[index].subspaces.dim() && step.activation.cols() == latest_.cols())
      measure_behind(index, layers_[index].after, step.activation, step.layout);
    open_.reset();
  }

  template <class Tokens>
  [[nodiscard]] static auto visible(const Tokens& tokens, const TokenLayout& layout, Index set) {
    return tokens.middleCols(layout.begin(set), layout.visible(set));
  }

  template <class Tokens>
  [[nodiscard]] static double non_zero_share(const Tokens& tokens) {
    Index count = 0;
    for (Index j = 0; j < tokens.cols(); ++j) {
      const S* const token = tokens.col(j).data();
      int in_token = 0;  // not Index: counts of int vectorise
      for (Index i = 0; i < tokens.rows(); ++i) in_token += token[i] != S(0) ? 1 : 0;
      count += in_token;
    }
    return static_cast<double>(count) / static_cast<double>(tokens.size());
  }

  /// Adds every set of Z, the output of a half-layer.
  void measure_behind(std::size_t index, TokenMetrics& metrics, ConstTokens<S> z, const TokenLayout& layout) {
    const Matrix<S> x = subspaces_[index].seen(z, threads_);
    measure(index, metrics, z, x, subspaces_[index].project(x, threads_), layout);
  }

  /// For one set: R(X), the share of non-zero entries, and both rates of every head.
  struct SetRates {
    double rate = 0, non_zero = 0;
    std::vector<double> heads, published;
  };

  /// Adds every set of Z to the metrics, with the tokens X that the subspaces see, and H = U^T X.
  void measure(std::size_t index, TokenMetrics& metrics, ConstTokens<S> z, ConstTokens<S> x, ConstTokens<S> h,
               const TokenLayout& layout) {
    const Index heads = subspaces_[index].subspaces.heads(), p = subspaces_[index].subspaces.head_dim();
    const std::vector<double> of_heads(static_cast<std::size_t>(heads));
    std::vector<SetRates> sets(static_cast<std::size_t>(layout.sets()), {.heads = of_heads, .published = of_heads});
    threads_.for_each(layout.sets() * (heads + 1), [&](Index piece, int) {
      const Index s = piece / (heads + 1), k = piece % (heads + 1);
      SetRates& set = sets[static_cast<std::size_t>(s)];
      if (k == heads) {
        if (options_.paper_rates) set.rate = rate_in_scalar(visible(x, layout, s), options_.epsilon);
        set.non_zero = non_zero_share(visible(z, layout, s));
      } else {
        const auto of_head = visible(h, layout, s).middleRows(k * p, p);
        const auto at = static_cast<std::size_t>(k);
        if (options_.paper_rates) set.heads[at] = rate_in_scalar(of_head, options_.epsilon);
        set.published[at] = rate_in_scalar(unit_columns<S>(of_head), std::sqrt(options_.published_eps));
      }
    });
    for (Index s = 0; s < layout.sets(); ++s)
      add(metrics, sets[static_cast<std::size_t>(s)], z.rows() * layout.visible(s));
  }

  /// R of tokens of one set, to a relative error of rate_tolerance<S>.
  template <class Set>
  [[nodiscard]] static double rate_in_scalar(const Set& tokens, double epsilon) {
    return detail::rate_in_scalar(evaluated(tokens), {tokens.rows(), tokens.cols(), epsilon});
  }

  /// Adds a set with this number of entries.
  void add(TokenMetrics& metrics, const SetRates& set, Index entries) const {
    const auto sum = [](const std::vector<double>& rates) { return std::accumulate(rates.begin(), rates.end(), 0.0); };
    metrics.published_rate.add(sum(set.published));
    metrics.non_zero.add(set.non_zero);
    if (!options_.paper_rates) return;
    const double subspace_rate = sum(set.heads), reduction = set.rate - subspace_rate;
    metrics.rate.add(set.rate);
    metrics.subspace_rate.add(subspace_rate);
    metrics.rate_reduction.add(reduction);
    metrics.objective.add(reduction - options_.lambda * set.non_zero * static_cast<double>(entries));
    for (std::size_t k = 0; k < set.heads.size(); ++k) metrics.head_rates[k].add(set.heads[k]);
  }

  LayerMeterOptions options_;
  Threads own_threads_;
  Threads& threads_;
  std::vector<LayerSubspaces<S>> subspaces_;
  std::vector<LayerMetrics> layers_;
  std::map<std::string, std::size_t, std::less<>> halves_, projections_;  // the layer to which these half-steps belong
  bool awaits_tokens_;                  // whether no observer sees the input of the first layer
  bool was_told_ = false;               // whether enter() was called for this pass
  Matrix<S> latest_;                    // the input of the half-step that runs
  std::optional<std::size_t> running_;  // the layer that has projected its tokens but not yet returned its output
  std::optional<std::size_t> open_;     // the layer whose block runs
};

template <class Model>
LayerMeter(const Model&, const LayerMeterOptions& = {}, Threads* = nullptr) -> LayerMeter<typename Model::Scalar>;

}  // namespace crate
