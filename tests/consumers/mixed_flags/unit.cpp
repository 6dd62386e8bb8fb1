// SPDX-License-Identifier: MIT
// Compiled with -DUNIT=plain_unit or -DUNIT=native_unit.
#include "unit.hpp"

#include <Eigen/LU>
#include <crate/io/load_model.hpp>
#include <utility>

const Unit UNIT{
    .load = [](const std::string& path) { return crate::load_classifier<float>(path); },
    .fold = [](Model model) { return crate::fold(std::move(model)); },
    .forward = [](const Model& model, const Eigen::MatrixXf& images) { return model.forward(images); },
    .forward_folded = [](const FoldedModel& model, const Eigen::MatrixXf& images) { return model.forward(images); },
    .append_row = [](Eigen::MatrixXf& matrix) { matrix.conservativeResize(matrix.rows() + 1, matrix.cols()); },
    .inverse = [](const Eigen::Matrix4d& matrix) { return Eigen::Matrix4d(matrix.inverse()); },
};
