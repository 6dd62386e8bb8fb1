// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/probing/confusion.hpp"
#include "crate/probing/labelled_features.hpp"

// Common parts of the linear probes, ridge regression and logistic regression.

namespace crate {

/// Scores W (x - mean) + b of features x; predicts the class with the largest. The mean is subtracted first, because
/// the differences between features may be small compared with it.
template <Scalar S>
struct LinearClassifier {
  Matrix<S> weight = {};  ///< classes x d
  Vector<S> bias = {};    ///< classes
  Vector<S> mean = {};    ///< d, mean of the features in the fit
  double penalty = 0;     ///< the penalty in the fit

  /// Scores of features, d x M: classes x M. Throws ShapeError unless they have d rows.
  [[nodiscard]] Matrix<S> scores(const Matrix<S>& features, Threads& threads) const {
    check_size("linear classifier: rows of the features", features.rows(), weight.cols());
    const Matrix<S> centred = features.colwise() - mean;
    Matrix<S> scores(weight.rows(), features.cols());
    multiply(weight, centred, scores, {.shift = bias.data()}, threads);
    return scores;
  }

  /// Throws as scores.
  [[nodiscard]] std::vector<Index> classify(const Matrix<S>& features, Threads& threads) const {
    return largest_rows(scores(features, threads));
  }
};

/// Options of the fit of a linear probe.
struct LinearProbeOptions {
  /// Candidates. The one with the best accuracy on a held-out part of the examples is chosen, and the fit is repeated
  /// on all examples. A single candidate is used without a comparison.
  std::vector<double> penalties = {};
  double held_out = 0.2;     ///< share of the examples that is held out, in (0, 1)
  bool standardised = true;  ///< whether to scale every feature to mean 0 and deviation 1, not only to mean 0
  std::uint64_t seed = 0;    ///< of the random choice of held-out examples

  void check() const {
    check_option(!penalties.empty(), "at least one penalty", "none");
    for (const double penalty : penalties)
      check_option(penalty > 0 && std::isfinite(penalty), "penalties > 0 and finite", penalty);
    check_option(held_out > 0 && held_out < 1, "held out part in (0, 1)", held_out);
  }
};

namespace detail {

/// The scaling x <- (x - mean) * factor of each feature.
struct FeatureScale {
  Vector<double> mean, factor;  ///< d
};

/// A feature that varies by rounding only becomes 0.
template <Scalar S>
[[nodiscard]] FeatureScale measure_scale(const Matrix<S>& features, bool standardised) {
  constexpr double rounding = 16 * static_cast<double>(std::numeric_limits<S>::epsilon());
  const auto count = static_cast<double>(features.cols());
  FeatureScale scale{Vector<double>::Zero(features.rows()), Vector<double>::Ones(features.rows())};
  for (Index j = 0; j < features.cols(); ++j) scale.mean += features.col(j).template cast<double>();
  scale.mean /= count;
  if (!standardised) return scale;
  Vector<double> squares = Vector<double>::Zero(features.rows());
  for (Index j = 0; j < features.cols(); ++j)
    squares += (features.col(j).template cast<double>() - scale.mean).cwiseAbs2();
  for (Index i = 0; i < features.rows(); ++i) {
    const double deviation = std::sqrt(squares(i) / count);
    const bool varies = deviation > rounding * std::abs(scale.mean(i)) && deviation > 0;
    scale.factor(i) = varies ? 1 / deviation : 0;
  }
  return scale;
}

template <Scalar S>
[[nodiscard]] Matrix<S> scaled(const Matrix<S>& features, const FeatureScale& scale, Threads& threads) {
  const Vector<S> mean = scale.mean.cast<S>(), factor = scale.factor.cast<S>();
  Matrix<S> result(features.rows(), features.cols());
  for_each_columns(features.cols(), threads, [&](Index first, Index count) {
    for (Index j = first; j < first + count; ++j) result.col(j) = (features.col(j) - mean).cwiseProduct(factor);
  });
  return result;
}

/// The classifier of unscaled features, from the weights for scaled ones.
template <Scalar S>
[[nodiscard]] LinearClassifier<S> unscaled(const Matrix<double>& weight, const Vector<double>& bias,
                                           const FeatureScale& scale, double penalty) {
  const Matrix<double> of_raw = weight * scale.factor.asDiagonal();
  return {of_raw.cast<S>(), bias.cast<S>(), scale.mean.cast<S>(), penalty};
}

template <Scalar S>
[[nodiscard]] LabelledFeatures<S> chosen(const LabelledFeatures<S>& all, const std::vector<Index>& order,
                                         std::size_t first, std::size_t count) {
  LabelledFeatures<S> some{Matrix<S>(all.dim(), static_cast<Index>(count)), {}, all.classes};
  for (std::size_t i = 0; i < count; ++i) {
    some.features.col(static_cast<Index>(i)) = all.features.col(order[first + i]);
    some.labels.push_back(all.labels[static_cast<std::size_t>(order[first + i])]);
  }
  return some;
}

/// Divides the examples at random into those to fit and those held out, at least one each.
template <Scalar S>
[[nodiscard]] std::pair<LabelledFeatures<S>, LabelledFeatures<S>> hold_out(const LabelledFeatures<S>& all,
                                                                           const LinearProbeOptions& options) {
  check_option(all.size() >= 2, "at least 2 examples to choose a penalty with", all.size());
  std::vector<Index> order(static_cast<std::size_t>(all.size()));
  std::iota(order.begin(), order.end(), Index{0});
  Random random(options.seed);
  for (Index i = all.size() - 1; i > 0; --i)
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(random.below(i + 1))]);
  const auto wanted = std::lrint(options.held_out * static_cast<double>(all.size()));
  const auto held = static_cast<std::size_t>(std::clamp<Index>(wanted, 1, all.size() - 1));
  return {chosen(all, order, held, order.size() - held), chosen(all, order, 0, held)};
}

/// Fits with the penalty that has the best accuracy on the held-out examples, the largest of equals. `fit(examples)`
/// returns a function from a penalty to a classifier.
template <Scalar S, class Fit>
[[nodiscard]] LinearClassifier<S> fit_with_best_penalty(const LabelledFeatures<S>& all,
                                                        const LinearProbeOptions& options, Threads& threads,
                                                        const Fit& fit) {
  options.check();
  check_training(all);
  std::vector<double> penalties = options.penalties;
  if (penalties.size() == 1) return fit(all)(penalties.front());
  std::sort(penalties.begin(), penalties.end(), std::greater<>());
  const auto [part, held] = hold_out(all, options);
  double best = penalties.front();
  Index most = -1;
  auto fit_part = fit(part);
  for (const double penalty : penalties) {
    const auto predicted = fit_part(penalty).classify(held.features, threads);
    const Index right = confusion_of(held.labels, predicted, all.classes).correct();
    if (right > most) best = penalty;
    most = std::max(most, right);
  }
  return fit(all)(best);
}

}  // namespace detail

}  // namespace crate
