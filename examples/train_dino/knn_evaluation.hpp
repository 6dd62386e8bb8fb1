// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <numeric>
#include <optional>
#include <vector>

#include "crate/io/pictures/image_source.hpp"
#include "crate/probing/image_features.hpp"
#include "crate/probing/nearest_neighbours.hpp"
#include "crate/training/self_distillation.hpp"
#include "image_program/part_of.hpp"
#include "most_probed_pixels.hpp"
#include "train_dino/report.hpp"
#include "train_dino/training_setup.hpp"

// Quality of features: how many of their nearest neighbours have the same class, and how far they spread.

namespace train_dino {

using image_program::part_of;

[[nodiscard]] inline std::vector<Index> all_of(const crate::ImageDataSet& data) {
  std::vector<Index> indices(static_cast<std::size_t>(data.size()));
  std::iota(indices.begin(), indices.end(), Index{0});
  return indices;
}

/// Counts the images of `knn_test` that their nearest neighbours among `knn_training` classify correctly.
[[nodiscard]] inline crate::SelfDistillationMeasures evaluate_knn(const crate::LabelledFeatures<float>& knn_training,
                                                                  const crate::LabelledFeatures<float>& knn_test,
                                                                  const TrainingSetup& setup) {
  const crate::NearestNeighbourOptions options{.neighbours = std::min<Index>(20, knn_training.size())};
  const std::vector<Index> found =
      classify_by_neighbours(knn_training, knn_test.features, options, setup.threads, setup.ranks());
  crate::SelfDistillationMeasures measures{.knn_images = knn_test.size()};
  for (std::size_t i = 0; i < found.size(); ++i) measures.knn_correct += found[i] == knn_test.labels[i] ? 1 : 0;
  return measures;
}

template <class Classifier>
[[nodiscard]] crate::SelfDistillationMeasures evaluate_encoder(const TrainingSetup& setup, const Classifier& encoder) {
  if (!setup.is_labelled()) return {};
  const crate::FeatureOptions options{.token = crate::FeatureToken::pooled, .normalised = true};
  constexpr Index at_a_time = 16;
  const auto features = [&](const crate::ImageDataSet& images) {
    return labelled_features(encoder, crate::ImageSource<float>{images, setup.preprocessing.normalisation},
                             images.classes(), options, setup.threads, at_a_time, setup.ranks());
  };
  return evaluate_knn(features(setup.knn_training), features(setup.knn_test), setup);
}

[[nodiscard]] inline crate::SelfDistillationMeasures evaluate_pixels(const TrainingSetup& setup) {
  if (!setup.is_labelled() || setup.knn_training.values_per_image() > examples::most_probed_pixels) return {};
  const auto pixels = [&](const crate::ImageDataSet& images) {
    return labelled_pixels(crate::ImageSource<float>{images, setup.preprocessing.normalisation}, images.classes(),
                           setup.threads);
  };
  return evaluate_knn(pixels(setup.knn_training), pixels(setup.knn_test), setup);
}

/// The spread of the teacher's features of some test images, and the verdict of nearest neighbours.
template <class State>
[[nodiscard]] auto evaluation_of(const TrainingSetup& setup, const State& state) {
  return [&](const auto& teacher, crate::Threads& threads, crate::Communicator&) {
    crate::SelfDistillationMeasures measures = evaluate_encoder(setup, teacher.encoder);
    const Index most = 512;
    const std::optional<crate::ImageDataSet> part = part_of(setup.knn_test, most);
    const crate::ImageDataSet& some = part ? *part : setup.knn_test;
    const crate::Matrix<float> images =
        crate::ImageSource<float>{some, setup.preprocessing.normalisation}.take(all_of(some)).images;
    measures += state.objective.gauges(forward(teacher, crate::Images<float>(images), {.threads = &threads}).tokens,
                                       state.step, threads);
    return measures;
  };
}

/// What training is to exceed.
template <class Classifier>
void print_untrained(const TrainingSetup& setup, const Classifier& encoder) {
  const double of_pixels = evaluate_pixels(setup).knn_accuracy(),
               of_encoder = evaluate_encoder(setup, encoder).knn_accuracy();
  std::printf("k-NN accuracy of pixels %s, of the untrained encoder %s\n", percent_text(of_pixels).c_str(),
              percent_text(of_encoder).c_str());
}

}  // namespace train_dino
