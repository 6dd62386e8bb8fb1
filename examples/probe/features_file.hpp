// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/probing/labelled_features.hpp"

namespace probe {

/// What probes learn from, and what they are judged by.
struct Features {
  crate::LabelledFeatures<float> training, test;
  std::vector<std::string> class_names = {};  ///< of each class; empty if nobody named them
};

/// training_features [N, d], training_labels [N], test_features [M, d], test_labels [M]; "classes" of the metadata
/// names the classes, a line each. Throws FileError if the file cannot be written, PrecisionError, and writes nothing,
/// if a feature is not finite.
void write_features(const std::filesystem::path& path, const Features& features);

/// Throws FileError if the file cannot be read or does not hold these.
[[nodiscard]] Features read_features(const std::filesystem::path& path);

}  // namespace probe
