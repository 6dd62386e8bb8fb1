// SPDX-License-Identifier: MIT
// Loads a classifier and names what is in a picture: load_and_classify [WEIGHTS HEADS PICTURE]. Published weights do
// not record the number of attention heads: CRATE-Tiny has 6, Small and Base 12, Large 16. Without arguments it creates
// untrained weights and a test picture.

#include <crate/crate.hpp>
#include <crate/io/load_model.hpp>      // needs nlohmann/json
#include <crate/io/pictures/image.hpp>  // needs libpng and libjpeg
#include <crate/io/pictures/prepare.hpp>
#include <crate/io/save_model.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

std::filesystem::path make_weights() {
  crate::CrateClassifier<float> model({.image = {.height = 32, .width = 32, .patch_height = 8, .patch_width = 8},
                                       .classes = 3,
                                       .depth = 2,
                                       .block = {.dim = 48, .heads = 4}});
  crate::initialise(model, /*seed*/ 1);
  model.about.class_names = {"cat", "dog", "aeroplane"};
  const auto path = std::filesystem::temp_directory_path() / "crate_example.safetensors";
  crate::save_model(path, model);
  return path;
}

std::filesystem::path make_picture() {
  crate::Image image{.height = 60, .width = 80, .channels = 3, .pixels = std::vector<std::uint8_t>(60 * 80 * 3)};
  for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i % 251);
  const auto path = std::filesystem::temp_directory_path() / "crate_example.png";
  crate::write_png(path, image);
  return path;
}

int main(int count, char** arguments) try {
  if (count != 1 && count != 4) {
    std::cerr << "usage: load_and_classify [WEIGHTS HEADS PICTURE]\n";
    return 2;
  }
  const bool given = count == 4;
  const auto model = given ? crate::load_classifier<float>(arguments[1], {.heads = std::atoi(arguments[2])})
                           : crate::load_classifier<float>(make_weights());
  std::cout << crate::parameter_count(model) << " parameters, " << model.output_dim() << " classes\n";

  const crate::Image picture = crate::read_image(given ? arguments[3] : make_picture());
  const Eigen::MatrixXf image = crate::prepare(model, picture);  // of the size and normalisation that the model expects
  const auto folded = crate::fold(model);                        // the same, rewritten for inference
  const Eigen::MatrixXf logits = folded.forward(image);

  Eigen::MatrixXf probabilities = crate::softmax_columns(logits);
  for (int place = 1; place <= 3; ++place) {
    Eigen::Index best;
    const float probability = probabilities.col(0).maxCoeff(&best);
    const auto& names = model.about.class_names;
    std::cout << std::fixed << std::setprecision(1) << std::setw(5) << 100 * probability << " %  "
              << (names.empty() ? "class " + std::to_string(best) : names[static_cast<std::size_t>(best)]) << '\n';
    probabilities(best, 0) = -1;
  }
} catch (const crate::Error& error) {  // says which file, what was expected in it and what was found
  std::cerr << error.what() << '\n';
  return 1;
}

// Output:
//
//   25155 parameters, 3 classes
//    45.5 %  cat
//    42.9 %  aeroplane
//    11.5 %  dog
