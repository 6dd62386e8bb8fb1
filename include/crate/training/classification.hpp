// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "crate/core/matrix.hpp"
#include "crate/layers/pass.hpp"
#include "crate/models/labelled_images.hpp"
#include "crate/operators/losses.hpp"
#include "crate/training/objective.hpp"

namespace crate {

/// Cross-entropy of an image classifier's logits and the labels.
template <class Model>
struct ClassificationObjective {
  using Scalar = typename Model::Scalar;
  using Examples = LabelledImages<Scalar>;
  using Memory = typename Model::Tape;

  CrossEntropyOptions loss = {};

  Measures accumulate(const Model& model, const Examples& examples, double weight, Model& gradient, Memory& tape,
                      const Run<Scalar>& run) const {
    const Matrix<Scalar> logits = model.forward(examples.images, tape, run);
    model.backward(cross_entropy_gradient(logits, examples.labels, weight, loss), tape, gradient, run);
    return measures_of(logits, examples.labels);
  }

  [[nodiscard]] Measures measure(const Model& model, const Examples& examples, const Run<Scalar>& run) const {
    return measures_of(model.forward(examples.images, run), examples.labels);
  }

 private:
  [[nodiscard]] Measures measures_of(const Matrix<Scalar>& logits, std::span<const Index> labels) const {
    return {.loss = cross_entropy(logits, labels, loss),
            .correct = count_correct(logits, labels, 1, loss.ignored),
            .correct_in_top_5 = count_correct(logits, labels, 5, loss.ignored)};
  }
};

}  // namespace crate
