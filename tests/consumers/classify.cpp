// SPDX-License-Identifier: MIT
// A user's program: `classify WEIGHTS REFERENCE` loads published weights of 3 heads, folds them and classifies images.
// The logits are those that the published code computed, and wrote to the file REFERENCE.
#include <crate/crate.hpp>
#include <crate/io/formats/safetensors.hpp>
#include <crate/io/load_model.hpp>
#include <crate/io/pictures/prepare.hpp>
#include <cstdio>
#include <span>

int main(int, char** arguments) {
  crate::Threads threads(2);
  crate::Workspace workspace;
  const auto model = crate::fold(crate::load_classifier<float>(arguments[1], {.heads = 3}), &threads);
  const auto classify = [&](const Eigen::MatrixXf& images) {
    Eigen::MatrixXf logits(model.output_dim(), images.cols());
    workspace.reserve(model.workspace_bytes(crate::TokenLayout::equal(images.cols(), 1), threads.count()));
    model.forward(images, logits, {.threads = &threads, .workspace = &workspace});
    return logits;
  };

  const crate::TensorTable reference = crate::read_safetensors(arguments[2]);
  const crate::Tensor& images = reference.at("input/images");
  Eigen::MatrixXf pixels(patch_grid(model).values_per_image(), images.shape[0]),
      expected(model.output_dim(), images.shape[0]);
  crate::copy_values(images, std::span(pixels.data(), static_cast<std::size_t>(pixels.size())));
  crate::copy_values(reference.at("output/logits"),
                     std::span(expected.data(), static_cast<std::size_t>(expected.size())));
  const float error = (classify(pixels) - expected).norm() / expected.norm();

  crate::Image grey{.height = 48, .width = 64, .channels = 3};
  grey.pixels.assign(48 * 64 * 3, 128);
  Eigen::Index best = 0;
  classify(crate::prepare(model, grey)).col(0).maxCoeff(&best);
  std::printf("logits within %.1e of the published code's; a grey picture is of class %td, by %s\n",
              static_cast<double>(error), best, std::string(crate::name_of(crate::instruction_set())).c_str());
  return error < 1e-5F ? 0 : 1;
}
