// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "classify/options.hpp"
#include "classify/score.hpp"
#include "crate/core/threads.hpp"
#include "crate/io/pictures/image.hpp"
#include "crate/io/pictures/image_folders.hpp"
#include "crate/io/pictures/prepare.hpp"
#include "crate/models/image_preprocessing.hpp"

namespace classify {

/// What a model expects of the images that it classifies.
struct Expected {
  const std::vector<std::string>& class_names;
  Index classes, height, width, channels;
  const crate::ImagePreprocessing& preprocessing;
};

template <class Model>
[[nodiscard]] Expected expected_by(const Model& model) {
  return {.class_names = model.about.class_names,
          .classes = model.output_dim(),
          .height = patch_grid(model).image_height(),
          .width = patch_grid(model).image_width(),
          .channels = patch_grid(model).channels,
          .preprocessing = model.about.preprocessing};
}

/// What is to be classified: pictures in files, or the test images of a data set.
class Pictures {
 public:
  /// Throws FileError if a folder holds no pictures or the data set cannot be read, OptionError unless either is given,
  /// and if the data set has other classes than are expected.
  Pictures(const Options& options, const Expected& expected, crate::Threads& threads);

  /// How --data differs from what the model expects, in one line; empty if it does not.
  [[nodiscard]] const std::string& note() const { return note_; }

  [[nodiscard]] Index size() const { return data_ ? data_->size() : static_cast<Index>(paths_.size()); }

  /// Whether each is to be named, and not the accuracy alone.
  [[nodiscard]] bool are_shown() const { return are_shown_; }

  [[nodiscard]] std::string name(Index i) const {
    return data_ ? crate::concatenate("test image ", i) : paths_[static_cast<std::size_t>(i)].string();
  }
  /// Its class, or unknown_class.
  [[nodiscard]] Index label(Index i) const {
    return data_ ? data_->labels[static_cast<std::size_t>(i)] : folder_classes_.of(paths_[static_cast<std::size_t>(i)]);
  }
  /// Whether a class is known, so that the accuracy is counted.
  [[nodiscard]] bool are_scored() const {
    for (Index i = 0; i < size(); ++i)
      if (label(i) != unknown_class) return true;
    return false;
  }
  [[nodiscard]] crate::Image read(Index i) const {
    return data_ ? crate::picture_of(*data_, i) : crate::read_image(paths_[static_cast<std::size_t>(i)], orientation_);
  }

 private:
  void read_folders(const Options& options, const Expected& expected);

  bool are_shown_;
  std::string note_;
  FolderClasses folder_classes_;
  crate::PixelOrientation orientation_;
  std::vector<std::filesystem::path> paths_;
  std::optional<crate::ImageDataSet> data_;
};

}  // namespace classify
