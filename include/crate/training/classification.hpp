// SPDX-License-Identifier: MIT
#pragma once

#include <limits>
#include <span>
#include <tuple>

#include "crate/core/matrix.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/recording.hpp"
#include "crate/models/labelled_images.hpp"
#include "crate/operators/losses.hpp"
#include "crate/training/measures.hpp"

namespace crate {

/// Measures of logits, compared with labels.
struct ClassificationMeasures {
  LossSum loss = {};
  Index correct = 0;           ///< examples whose label has the largest logit
  Index correct_in_top_5 = 0;  ///< examples whose label is among the five largest logits

  ClassificationMeasures& operator+=(const ClassificationMeasures& other) {
    loss += other.loss;
    correct += other.correct;
    correct_in_top_5 += other.correct_in_top_5;
    return *this;
  }

  /// Shares of the counted examples; nan if there are none.
  [[nodiscard]] double accuracy() const { return share(correct); }
  [[nodiscard]] double top_5_accuracy() const { return share(correct_in_top_5); }

  static constexpr auto numbers() {
    return std::tuple{measured_number("accuracy", &ClassificationMeasures::accuracy),
                      measured_number("top_5_accuracy", &ClassificationMeasures::top_5_accuracy, ReportedFor::test)};
  }
  static constexpr auto sums() {
    return std::tuple{measured_sum("correct", &ClassificationMeasures::correct),
                      measured_sum("correct in top 5", &ClassificationMeasures::correct_in_top_5)};
  }

 private:
  [[nodiscard]] double share(Index part) const {
    return loss.count > 0 ? static_cast<double>(part) / static_cast<double>(loss.count)
                          : std::numeric_limits<double>::quiet_NaN();
  }
};

/// Cross-entropy of a classifier's logits and the labels. Examples have `labels` and an input() that the model takes,
/// such as images.
template <class Model, class ExamplesOfModel = LabelledImages<typename Model::Scalar>>
struct ClassificationObjective {
  using Scalar = typename Model::Scalar;
  using Examples = ExamplesOfModel;
  using Memory = Recording<Model>;
  using Measures = ClassificationMeasures;
  using OnceBackward = ClassificationObjective;

  CrossEntropyOptions loss = {};

  Measures accumulate(const Model& model, const Examples& examples, double weight, Model& gradient, Memory& recording,
                      const Run<Scalar>& run) const {
    const Matrix<Scalar> logits = forward(model, examples.input(), recording, run).tokens;
    backward(model, cross_entropy_gradient(logits, examples.labels, weight, loss), recording, gradient, run);
    return measures_of(logits, examples.labels);
  }

  [[nodiscard]] Measures measure(const Model& model, const Examples& examples, const Run<Scalar>& run) const {
    return measures_of(logits_of(model, examples, run), examples.labels);
  }

 private:
  [[nodiscard]] static Matrix<Scalar> logits_of(const Model& model, const Examples& examples, const Run<Scalar>& run) {
    if constexpr (FrontEnd<Model>)
      return model.forward(examples.input(), run);
    else
      return forward(model, examples.input(), run).tokens;
  }

  [[nodiscard]] Measures measures_of(const Matrix<Scalar>& logits, std::span<const Index> labels) const {
    return {.loss = cross_entropy(logits, labels, loss),
            .correct = count_correct(logits, labels, 1, loss.ignored),
            .correct_in_top_5 = count_correct(logits, labels, 5, loss.ignored)};
  }
};

}  // namespace crate
