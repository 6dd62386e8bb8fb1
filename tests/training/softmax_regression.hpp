// SPDX-License-Identifier: MIT
#pragma once

#include <tuple>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/core/part.hpp"
#include "crate/core/random.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/training/classification.hpp"
#include "crate/training/examples.hpp"
#include "crate/training/objective.hpp"

// The smallest model that can be trained on images, and images that it can learn.

namespace crate::test {

/// W x + b.
struct SoftmaxRegression {
  using Scalar = float;
  RowMajorMatrix<float> weight;
  Vector<float> bias;

  SoftmaxRegression(Index pixels, Index classes)
      : weight(RowMajorMatrix<float>::Zero(classes, pixels)), bias(Vector<float>::Zero(classes)) {}
  static constexpr auto parts() {
    return std::tuple{part("weight", &SoftmaxRegression::weight), part("bias", &SoftmaxRegression::bias)};
  }
  [[nodiscard]] Matrix<float> logits(const Matrix<float>& images) const { return (weight * images).colwise() + bias; }
  [[nodiscard]] bool operator==(const SoftmaxRegression& other) const {
    return weight == other.weight && bias == other.bias;
  }
};

struct SoftmaxObjective {
  using Measures = ClassificationMeasures;
  struct Memory {
    int calls = 0;
  };

  Measures accumulate(const SoftmaxRegression& model, const LabelledImages<float>& examples, double weight,
                      SoftmaxRegression& gradient, Memory& memory, const Run<float>& run) const {
    ++memory.calls;
    const Matrix<float> d_logits = cross_entropy_gradient(model.logits(examples.images), examples.labels, weight);
    gradient.weight += d_logits * examples.images.transpose();
    gradient.bias += d_logits.rowwise().sum();
    return measure(model, examples, run);
  }

  Measures measure(const SoftmaxRegression& model, const LabelledImages<float>& examples, const Run<float>&) const {
    const Matrix<float> logits = model.logits(examples.images);
    return {.loss = cross_entropy(logits, examples.labels),
            .correct = count_correct(logits, examples.labels),
            .correct_in_top_5 = count_correct(logits, examples.labels, 5)};
  }
};

static_assert(Objective<SoftmaxObjective, SoftmaxRegression, LabelledImages<float>>);
static_assert(ExampleSource<ImageSource<float>>);

/// Images of 6 x 5 pixels in three classes, each with two bright rows of its own.
inline ImageDataSet banded_images(Index count, std::uint64_t seed) {
  ImageDataSet data{.height = 6, .width = 5, .channels = 1, .class_names = {"a", "b", "c"}};
  data.pixels.resize(30, count);
  Random random(seed);
  for (Index i = 0; i < count; ++i) {
    data.labels.push_back(i % 3);
    for (Index j = 0; j < 30; ++j)
      data.pixels(j, i) = static_cast<std::uint8_t>(random.below(136) + (j / 10 == i % 3 ? 119 : 0));
  }
  return data;
}

}  // namespace crate::test
