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

// What every layer of a model does to the objective that it is derived from, R - R^c - lambda ||Z||_0.
//
// Letters: Z tokens of one set, d x N; U_[K] the subspaces of the layer, d x (K p); X the tokens that they act on,
// which is LN(Z) behind a layer norm, and Z where there is none; H = U^T X.

namespace crate {

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
    rate += coding_rate(unit_columns<double>(projected.middleRows(k * p, p).template cast<double>()),
                        {.epsilon = std::sqrt(eps)});
  return rate;
}

struct LayerMeterOptions {
  double epsilon = 0.5;         ///< of the paper's rates, > 0
  double lambda = 0.1;          ///< weight of ||Z||_0 in the objective, >= 0
  double published_eps = 0.01;  ///< of the published code's rate, which stands where epsilon^2 stands, > 0
  bool paper_rates = true;      ///< whether R, R^c and what follows of them are measured, or the published rate
                                ///< and the non-zero entries alone

  void check() const {
    SparseRateReductionOptions{.epsilon = epsilon, .lambda = lambda}.check();
    check_option(std::isfinite(published_eps) && published_eps > 0, "published eps > 0", published_eps);
  }
};

/// Of token sets at one place of a model, each over the sets; rates in nats. Padding does not count. A set of zeros has
/// the rates 0 and no entries that are not zero. What the meter's options leave out is of no sets. Of models of floats,
/// R^c, head rates and the published rate have a relative error of at most 1e-4, mostly of 1e-8, as their Gram matrices
/// are summed in floats; that of R is 1e-11. So R - R^c, and the objective, are known to 1e-4 R^c at worst.
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

/// Of the block round one half-layer with subspaces; all in the basis of this layer.
struct LayerMetrics {
  std::string name;      ///< of that half-layer: "layers.3.compress"
  TokenMetrics before;   ///< Z^l, which enter it
  TokenMetrics between;  ///< Z^{l+1/2}, behind it
  TokenMetrics after;    ///< Z^{l+1}, behind the block's other half; not measured where that comes first, in decoders
  Spread
      code_non_zero;  ///< share of non-zero codes inside an overcomplete or MLP half; of no sets where there are none
};

/// Measures every layer of a model while it runs: hand `observer()` to its forward passes over as many batches as there
/// are, then read `layers()`. Keeps one batch's tokens of one layer, never the data. In blocks of one width it costs
/// two projections and seven Gram matrices a layer. Of a layer that runs several times in a pass, as inside Inverse,
/// `before` is what its first turn was given.
template <Scalar S>
class LayerMeter {
 public:
  /// Views the model, which must outlive the meter where it is; so must the threads. Throws OptionError on an option
  /// out of range.
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
  LayerMeter(const LayerMeter&) = delete;
  LayerMeter& operator=(const LayerMeter&) = delete;

  /// Of every layer that has subspaces, in the model's order.
  [[nodiscard]] const std::vector<LayerMetrics>& layers() const { return layers_; }

  [[nodiscard]] Observer<S> observer() {
    return [this](const HalfStep<S>& step) { see(step); };
  }

  /// The tokens of the next pass. To be called before every pass of a block or stack, of which no observer sees what
  /// enters; of models of images or words, this is not needed.
  void enter(ConstTokens<S> tokens) {
    latest_ = tokens;
    was_told_ = true;
    running_.reset();
  }

  /// Throws OptionError where `enter` was to be called and was not, ShapeError if it was told other tokens.
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
    if (awaits_tokens_ && index == 0) {  // what is the latest is of the pass before
      if (!was_told_)
        throw OptionError(
            concatenate("layer meter: expected a call of enter(tokens) before this pass of a block or stack, "
                        "whose first half-step is '",
                        step.name, "', found none"));
      was_told_ = false;
    }
    check_size(layers_[index].name + ": tokens that come to it", latest_.cols(), step.layout.tokens());
    const Index rows = subspaces_[index].subspaces.bases().cols();
    measure(index, layers_[index].before, latest_, subspaces_[index].seen(latest_, threads_),
            step.activation.middleRows(subspaces_[index].first_row, rows), step.layout);
  }

  /// Of the block's other half: its codes, and its result, whose name goes no further. Tokens of another size, or
  /// others, are no such result.
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
    return static_cast<double>((tokens.array() != S(0)).count()) / static_cast<double>(tokens.size());
  }

  /// Adds every set of Z, which come from a half-layer.
  void measure_behind(std::size_t index, TokenMetrics& metrics, ConstTokens<S> z, const TokenLayout& layout) {
    const Matrix<S> x = subspaces_[index].seen(z, threads_);
    measure(index, metrics, z, x, subspaces_[index].project(x, threads_), layout);
  }

  /// Of one set: R(X), the share of non-zero entries, and of every head both of its rates.
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
        if (options_.paper_rates) set.rate = coding_rate(visible(x, layout, s), {.epsilon = options_.epsilon});
        set.non_zero = non_zero_share(visible(z, layout, s));
      } else {
        const auto of_head = visible(h, layout, s).middleRows(k * p, p);
        const auto at = static_cast<std::size_t>(k);
        if (options_.paper_rates) set.heads[at] = rate_of_projected(of_head, options_.epsilon);
        set.published[at] = rate_of_projected(unit_columns<S>(of_head), std::sqrt(options_.published_eps));
      }
    });
    for (Index s = 0; s < layout.sets(); ++s)
      add(metrics, sets[static_cast<std::size_t>(s)], z.rows() * layout.visible(s));
  }

  /// R of U_k^T X of one set, to a relative error of rate_tolerance<S>.
  template <class Projected>
  [[nodiscard]] static double rate_of_projected(const Projected& projected, double epsilon) {
    return detail::rate_in_scalar(evaluated(projected), {projected.rows(), projected.cols(), epsilon});
  }

  /// Adds a set of so many entries.
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
  std::map<std::string, std::size_t, std::less<>> halves_, projections_;  // which layer's half-steps these are
  bool awaits_tokens_;                  // whether nobody sees what enters the first layer
  bool was_told_ = false;               // what does, by whoever calls
  Matrix<S> latest_;                    // what the half-step that runs was given
  std::optional<std::size_t> running_;  // the layer that has projected its tokens and not yet handed on its result
  std::optional<std::size_t> open_;     // the layer whose block runs
};

template <class Model>
LayerMeter(const Model&, const LayerMeterOptions& = {}, Threads* = nullptr) -> LayerMeter<typename Model::Scalar>;

}  // namespace crate
