// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/probing/detail/lbfgs.hpp"
#include "crate/probing/labelled_features.hpp"
#include "crate/probing/linear_classifier.hpp"

namespace crate {

/// The candidate penalties of logistic regression.
[[nodiscard]] inline LinearProbeOptions logistic_options() { return {.penalties = {1e-5, 1e-4, 1e-3, 1e-2}}; }

namespace detail {

/// The mean over the examples of the cross-entropy of softmax(W x + b), plus a/2 ||W||^2. Products are computed in
/// blocks in the features' own precision; sums over blocks in double.
template <Scalar S>
class LogisticLoss {
 public:
  /// The features must be scaled.
  LogisticLoss(Matrix<S> features, std::vector<Index> labels, Index classes, Threads& threads)
      : features_(std::move(features)), labels_(std::move(labels)), classes_(classes), threads_(threads) {
    lanes_.resize(static_cast<std::size_t>(std::min(most_lanes, blocks())));
    for (Lane& lane : lanes_) lane.gradient.resize(classes_, features_.rows() + 1);
  }

  [[nodiscard]] Index classes() const { return classes_; }
  [[nodiscard]] Index dim() const { return features_.rows(); }

  /// The loss at [W b], classes x (d + 1); the gradient has this size, too.
  double operator()(const Matrix<double>& at, double penalty, Matrix<double>& gradient) {
    const Matrix<S> weight = at.leftCols(dim()).template cast<S>();
    const Vector<S> bias = at.col(dim()).template cast<S>();
    const auto lanes = std::ssize(lanes_);
    threads_.for_each(lanes, [&](Index l, int) {
      Lane& lane = lanes_[static_cast<std::size_t>(l)];
      lane.loss = 0;
      lane.gradient.setZero();
      for (Index block = l; block < blocks(); block += lanes) add_block(block, weight, bias, lane);
    });
    const auto size = static_cast<double>(features_.cols());
    double loss = 0;
    gradient.setZero(classes_, dim() + 1);
    for (const Lane& lane : lanes_) {
      loss += lane.loss / size;
      gradient += lane.gradient / size;
    }
    gradient.leftCols(dim()) += penalty * at.leftCols(dim());
    return loss + penalty / 2 * at.leftCols(dim()).squaredNorm();
  }

 private:
  static constexpr Index block_size = 1024, most_lanes = 16;

  struct Lane {
    double loss = 0;
    Matrix<double> gradient;
    Matrix<S> scores, block_gradient;
  };

  [[nodiscard]] Index blocks() const { return (features_.cols() + block_size - 1) / block_size; }

  void add_block(Index block, const Matrix<S>& weight, const Vector<S>& bias, Lane& lane) const {
    const Index first = block * block_size, count = std::min(block_size, features_.cols() - first);
    const auto x = features_.middleCols(first, count);
    Threads alone;
    lane.scores.resize(classes_, count);
    multiply(weight, x, lane.scores, {.shift = bias.data()}, alone);
    for (Index j = 0; j < count; ++j) {
      auto column = lane.scores.col(j);
      const Index label = labels_[static_cast<std::size_t>(first + j)];
      column.array() -= column.maxCoeff();
      const S of_label = column(label);
      column = column.array().exp();
      const S sum = column.sum();
      lane.loss += std::log(static_cast<double>(sum)) - static_cast<double>(of_label);
      column /= sum;
      column(label) -= S(1);
    }
    lane.block_gradient.resize(classes_, dim());
    multiply(lane.scores, x.transpose(), lane.block_gradient, alone);
    lane.gradient.leftCols(dim()) += lane.block_gradient.template cast<double>();
    for (Index j = 0; j < count; ++j) lane.gradient.col(dim()) += lane.scores.col(j).template cast<double>();
  }

  Matrix<S> features_;
  std::vector<Index> labels_;
  Index classes_;
  Threads& threads_;
  std::vector<Lane> lanes_;
};

}  // namespace detail

/// Logistic regression: W and b that minimise the mean over the examples of
///   -log softmax(W x + b)_label + a/2 ||W||^2,
/// with x scaled features and a the penalty, by limited-memory BFGS on all examples. It stops when the gradient is 1e-4
/// of the gradient at W = 0, or after 500 steps; accuracies settle long before.
/// Throws ShapeError unless features and labels agree, OptionError if the examples have one class only or an option is
/// out of range, PrecisionError if features are not finite.
template <Scalar S>
[[nodiscard]] LinearClassifier<S> fit_logistic_classifier(const LabelledFeatures<S>& training, Threads& threads,
                                                          const LinearProbeOptions& options = logistic_options()) {
  const auto fit = [&](const LabelledFeatures<S>& examples) {
    const detail::FeatureScale scale = detail::measure_scale(examples.features, options.standardised);
    auto loss = std::make_shared<detail::LogisticLoss<S>>(detail::scaled(examples.features, scale, threads),
                                                          examples.labels, examples.classes, threads);
    Matrix<double> at = Matrix<double>::Zero(examples.classes, examples.dim() + 1);
    return [scale, loss, at](double penalty) mutable {  // starts from the solution for the previous penalty
      const auto value = [&](const Matrix<double>& place, Matrix<double>& gradient) {
        return (*loss)(place, penalty, gradient);
      };
      detail::minimise(value, at, {.most_steps = 500, .gradient_share = 1e-4});
      return detail::unscaled<S>(at.leftCols(loss->dim()), at.col(loss->dim()), scale, penalty);
    };
  };
  return detail::fit_with_best_penalty(training, options, threads, fit);
}

}  // namespace crate
