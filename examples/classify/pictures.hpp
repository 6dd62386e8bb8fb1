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

namespace classify {

/// What is to be classified: pictures in files, or the test images of a data set.
class Pictures {
 public:
  /// For a model of these classes. Throws FileError if a folder holds no pictures or the data set cannot be read,
  /// OptionError unless either is given, and if the data set has other classes.
  Pictures(const Options& options, const std::vector<std::string>& class_names, Index classes,
           crate::PixelOrientation orientation, crate::Threads& threads);

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
  bool are_shown_;
  FolderClasses folder_classes_;
  crate::PixelOrientation orientation_;
  std::vector<std::filesystem::path> paths_;
  std::optional<crate::ImageDataSet> data_;
};

}  // namespace classify
