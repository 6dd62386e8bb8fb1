// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>

#include "crate/io/pictures/image_data_set.hpp"
#include "crate/io/pictures/read_image_data_set.hpp"
#include "crate/models/image_preprocessing.hpp"
#include "crate/training/communicator.hpp"
#include "train_dino/options.hpp"

namespace train_dino {

/// Everything that a training works on but the model.
struct TrainingSetup {
  const Options& options;
  const crate::Metadata& described_options;
  const crate::TrainingAndTest& data;
  const crate::ImageDataSet &knn_training, &knn_test;  ///< training and test images of the k-NN evaluation
  crate::ImagePreprocessing preprocessing;
  crate::Threads& threads;

  [[nodiscard]] crate::Communicator& ranks() const { return *options.training.trainer.ranks; }
  [[nodiscard]] bool is_dino() const { return options.objective == "dino"; }
  [[nodiscard]] Index steps(double epochs) const {
    const Index steps_per_epoch = data.training.size() / options.training.trainer.batch;
    return std::lround(std::min(epochs * static_cast<double>(steps_per_epoch), 1e15));
  }
  /// Whether there are two classes to tell apart.
  [[nodiscard]] bool is_labelled() const {
    const auto [least, largest] = std::minmax_element(knn_training.labels.begin(), knn_training.labels.end());
    return least != knn_training.labels.end() && *least != *largest;
  }
};

}  // namespace train_dino
