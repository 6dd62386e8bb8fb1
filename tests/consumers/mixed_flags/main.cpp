// SPDX-License-Identifier: MIT
// Models and matrices made, used and freed in two units with different processor flags.
#include <crate/core/random.hpp>
#include <crate/io/save_model.hpp>
#include <crate/layers/initialise.hpp>
#include <cstdio>
#include <utility>

#include "unit.hpp"

namespace {

int failures = 0;

void check(bool holds, const char* what) {
  if (holds) return;
  std::printf("failed: %s\n", what);
  ++failures;
}

void share(const Unit& one, const Unit& other, const std::string& path, const Eigen::MatrixXf& images) {
  Model model = one.load(path);
  Eigen::MatrixXf logits = one.forward(model, images);
  const float rounding = 1e-5F * logits.norm();
  check((other.forward(model, images) - logits).norm() <= rounding, "a model loaded in one unit computes in the other");

  FoldedModel folded = other.fold(std::move(model));
  check((other.forward_folded(folded, images) - logits).norm() <= rounding, "it folds in the other");
  check((one.forward_folded(folded, images) - logits).norm() <= rounding, "what is folded there computes here");
  folded = one.fold(other.load(path));
  check((other.forward_folded(folded, images) - logits).norm() <= rounding, "and the other way round");

  for (int i = 0; i < 20; ++i) {
    const Eigen::MatrixXf before = logits;
    (i % 2 == 0 ? one : other).append_row(logits);
    check(logits.topRows(before.rows()) == before, "a matrix grows in either unit");
  }
  const Eigen::Matrix4d scale = Eigen::Vector4d(1, 2, 4, 8).asDiagonal();
  check(other.inverse(scale) * scale == Eigen::Matrix4d::Identity(), "matrices of fixed size pass by value");
}

}  // namespace

int main(int, char** arguments) {
  const std::string path = std::string(arguments[0]) + ".safetensors";
  Model model({.image = {.height = 24, .width = 24, .channels = 3, .patch_height = 8, .patch_width = 8},
               .classes = 7,
               .depth = 2,
               .block = {.dim = 60, .heads = 4}});
  crate::initialise(model, /*seed*/ 1);
  crate::save_model(path, model);
  Eigen::MatrixXf images(3 * 24 * 24, 3);
  crate::Random(/*seed*/ 2).fill_normal(images);

  share(plain_unit, native_unit, path, images);
  share(native_unit, plain_unit, path, images);
  std::printf("models and matrices in units of different flags: %d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
