// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/operators/losses.hpp"

namespace classify {

using crate::Index;

inline constexpr Index unknown_class = -1;

/// Pictures whose folder is named after a class of the model, and after no other, are of that class.
class FolderClasses {
 public:
  explicit FolderClasses(const std::vector<std::string>& class_names) {
    for (std::size_t i = 0; i < class_names.size(); ++i) {
      const auto [entry, is_new] = classes_.try_emplace(class_names[i], static_cast<Index>(i));
      if (!is_new) entry->second = unknown_class;
    }
  }

  [[nodiscard]] Index of(const std::filesystem::path& picture) const {
    const std::filesystem::path folder = std::filesystem::absolute(picture).lexically_normal().parent_path();
    const auto found = classes_.find(folder.filename().string());
    return found == classes_.end() ? unknown_class : found->second;
  }

 private:
  std::map<std::string, Index> classes_;
};

/// How many of the pictures whose class is known were recognised, counted as train_classifier counts.
class Score {
 public:
  void add(const crate::Matrix<float>& logits, const std::vector<Index>& labels) {
    known_ += static_cast<Index>(labels.size()) - std::count(labels.begin(), labels.end(), unknown_class);
    right_ += crate::count_correct(logits, labels, 1, unknown_class);
    right_in_top_5_ += crate::count_correct(logits, labels, 5, unknown_class);
    classes_ = logits.rows();
  }

  void print() const {
    if (known_ == 0) return;
    const auto percent = [&](Index part) { return 100 * static_cast<double>(part) / static_cast<double>(known_); };
    std::printf("accuracy %.2f %% (%td of %td whose class is known)", percent(right_), right_, known_);
    if (classes_ > 5) std::printf(", top 5 %.2f %%", percent(right_in_top_5_));
    std::printf("\n");
  }

 private:
  Index known_ = 0, right_ = 0, right_in_top_5_ = 0, classes_ = 0;
};

}  // namespace classify
