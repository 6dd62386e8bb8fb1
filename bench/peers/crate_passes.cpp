// SPDX-License-Identifier: MIT

// Forward passes of a published model, one for every line on the input, answered with the milliseconds that it took.

#include <algorithm>
#include <iostream>
#include <string>
#include <utility>

#include "crate/crate.hpp"
#include "crate/inference/fold.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/read_weights.hpp"
#include "line_protocol.hpp"

namespace {

using namespace crate;

struct Arguments {
  std::string model, weights, graph, precision;
  int threads;
  std::string images, output;
};

/// The published weights in the file, or without one the initial weights.
template <class Model, class Options>
Model load(const Options& options, Index heads, const std::string& path) {
  if (path != "-") return model_from<Model>(read_weights(path), {.heads = heads});
  Model model(options);
  initialise(model, /*seed*/ 1);
  return model;
}

template <class Model>
Matrix<float> result_of(const Model& model, const Matrix<float>& images, const Run<float>& run) {
  if constexpr (requires { model.about.mask_ratio; })
    return autoencode(model, images, run).prediction;
  else
    return model.forward(images, run);
}

template <class Model>
void serve(const Model& model, const Arguments& arguments) {
  const std::vector<float> pixels = bench::read_numbers<float>(arguments.images);
  const Index values = patch_grid(model).values_per_image();
  const Matrix<float> images = Eigen::Map<const Matrix<float>>(pixels.data(), values, std::ssize(pixels) / values);
  Threads threads(arguments.threads);
  Workspace workspace;
  Matrix<float> result;
  const auto pass = [&] { result = result_of(model, images, {.threads = &threads, .workspace = &workspace}); };
  pass();
  bench::write_numbers(arguments.output, result);
  bench::answer_lines([&] { return bench::milliseconds(pass); });
}

template <class Model>
void serve_graph(Model model, const Arguments& arguments) {
  if (arguments.graph == "published") return serve(model, arguments);
  if (arguments.precision == "bf16") return serve(fold<bfloat16>(std::move(model)), arguments);
  serve(fold(std::move(model)), arguments);
}

void serve_model(const Arguments& a) {
  const auto classifier = [&](const CrateClassifier<float>::Options& options) {
    serve_graph(load<CrateClassifier<float>>(options, options.block.heads, a.weights), a);
  };
  if (a.model == "tiny") return classifier(presets::crate_tiny());
  if (a.model == "small") return classifier(presets::crate_small());
  if (a.model == "base") return classifier(presets::crate_base());
  if (a.model == "large") return classifier(presets::crate_large());
  if (a.model == "alpha") {
    const auto options = presets::crate_alpha_base_16();
    return serve_graph(load<CrateAlphaClassifier<float>>(options, options.block.heads, a.weights), a);
  }
  check_option(a.model == "mae", "model tiny, small, base, large, alpha or mae", a.model);
  const auto options = presets::crate_mae_base();
  serve_graph(load<CrateMaskedAutoencoder<float>>(options, options.heads, a.weights), a);
}

}  // namespace

int main(int count, char** texts) {
  if (count != 8) {
    std::cerr << "usage: crate_passes tiny|small|base|large|alpha|mae WEIGHTS|- published|folded f32|bf16 THREADS "
                 "IMAGES OUTPUT\n";
    return 2;
  }
  return crate::bench::status_of("crate_passes", [&] {
    serve_model({texts[1], texts[2], texts[3], texts[4], std::stoi(texts[5]), texts[6], texts[7]});
  });
}
