// SPDX-License-Identifier: MIT
#pragma once

#include <crate/inference/fold.hpp>
#include <crate/models/image_classifier.hpp>
#include <string>
#include <utility>

using Model = crate::CrateClassifier<float>;
using FoldedModel = decltype(crate::fold(std::declval<Model>()));

/// What unit.cpp does, which is compiled twice, with different processor flags.
struct Unit {
  Model (*load)(const std::string& path);
  FoldedModel (*fold)(Model model);
  Eigen::MatrixXf (*forward)(const Model& model, const Eigen::MatrixXf& images);
  Eigen::MatrixXf (*forward_folded)(const FoldedModel& model, const Eigen::MatrixXf& images);
  void (*append_row)(Eigen::MatrixXf& matrix);                ///< frees memory of another unit and allocates its own
  Eigen::Matrix4d (*inverse)(const Eigen::Matrix4d& matrix);  ///< a fixed size, by value
};

extern const Unit plain_unit, native_unit;
