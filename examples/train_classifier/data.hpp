// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>

#include "crate/io/cifar.hpp"
#include "crate/io/idx.hpp"
#include "crate/io/image_folders.hpp"
#include "load_options.hpp"
#include "train_classifier/options.hpp"

namespace train_classifier {

/// The data set in a folder, of whichever kind its files are. Throws FileError if it is none.
inline crate::TrainingAndTest read_data(const Options& options, crate::Threads& threads) {
  namespace fs = std::filesystem;
  const fs::path folder = options.data;
  std::error_code failure;
  bool idx = false, cifar = false;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    const std::string name = entry.path().filename().string();
    idx |= name.starts_with("train-images-idx3-ubyte");
    cifar |= name.ends_with(".bin");
  }
  if (failure) throw crate::file_error(folder.string(), "cannot be listed: ", failure.message());
  if ((idx || cifar) && !options.image.empty())
    throw crate::OptionError("option --image would have no effect: the images in --data have a size of their own");
  if (idx) return crate::read_idx_folder(folder);
  if (cifar) return crate::read_cifar10_folder(folder);
  const auto [height, width] = examples::sides_from("--image", options.image.empty() ? "224x224" : options.image);
  crate::ImageFoldersSplit read = crate::read_image_folders_split(folder, {.height = height, .width = width}, threads);
  for (const std::string& reason : read.left_out) std::cerr << "train_classifier: left out: " << reason << '\n';
  return std::move(read.sets);
}

/// What the options say of the pixels, or else what the training images have.
inline crate::ImageNormalisation normalisation_of(const Options& options, const crate::ImageDataSet& training) {
  crate::ImageNormalisation normalisation = crate::measure_normalisation(training);
  if (!options.mean.empty()) normalisation.mean = options.mean;
  if (!options.deviation.empty()) normalisation.deviation = options.deviation;
  normalisation.check(training.channels);
  return normalisation;
}

}  // namespace train_classifier
