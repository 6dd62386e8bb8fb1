// SPDX-License-Identifier: MIT

// Names what is in pictures: a published classifier's most probable classes of every PNG or JPEG given, or found in a
// folder given.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "crate/crate.hpp"
#include "crate/io/checkpoint.hpp"
#include "crate/io/image.hpp"
#include "crate/io/prepare_image.hpp"
#include "load_options.hpp"

namespace {

namespace fs = std::filesystem;
using namespace crate;

struct Options {
  std::string weights, names;
  std::vector<std::string> pictures;
  Index top = 5, batch = 8;
  int threads = 1;
  LoadOptions model;
};

bool is_picture(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

/// The files given, and the pictures in the folders given, in order of name.
std::vector<fs::path> find_pictures(const std::vector<std::string>& given) {
  std::vector<fs::path> found;
  for (const fs::path path : given) {
    if (!fs::is_directory(path)) {
      found.push_back(path);
      continue;
    }
    std::vector<fs::path> inside;
    for (const auto& entry : fs::directory_iterator(path))
      if (entry.is_regular_file() && is_picture(entry.path())) inside.push_back(entry.path());
    if (inside.empty()) throw file_error(path.string(), "expected PNG or JPEG files in this folder, found none");
    std::sort(inside.begin(), inside.end());
    found.insert(found.end(), inside.begin(), inside.end());
  }
  return found;
}

/// The lines of the file, or "class 0", "class 1", ... without one.
std::vector<std::string> class_names(const std::string& path, Index classes) {
  std::vector<std::string> names;
  if (path.empty()) {
    for (Index i = 0; i < classes; ++i) names.push_back(concatenate("class ", i));
    return names;
  }
  std::ifstream file(path);
  if (!file) throw file_error(path, "cannot be opened");
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    names.push_back(line);
  }
  if (static_cast<Index>(names.size()) != classes)
    throw file_error(path, "expected ", classes, " lines, one for each class of the model, found ", names.size());
  return names;
}

void print_top(const fs::path& picture, const Vector<float>& probabilities, const std::vector<std::string>& names,
               Index top) {
  std::vector<Index> order(static_cast<std::size_t>(probabilities.size()));
  std::iota(order.begin(), order.end(), Index{0});
  const auto end = order.begin() + std::min<Index>(top, probabilities.size());
  std::partial_sort(order.begin(), end, order.end(),
                    [&](Index a, Index b) { return probabilities(a) > probabilities(b); });
  std::cout << picture.string() << '\n';
  for (auto i = order.begin(); i != end; ++i)
    std::printf("  %6.2f %%  %s\n", 100 * static_cast<double>(probabilities(*i)),
                names[static_cast<std::size_t>(*i)].c_str());
  std::fflush(stdout);
}

/// Pictures beside each other, ready for the model.
struct Batch {
  std::vector<fs::path> pictures;
  Matrix<float> images;
};

/// Those of the pictures that can be read; the others are reported.
Batch read_batch(std::span<const fs::path> pictures, const PatchGrid& grid) {
  Batch batch{{}, Matrix<float>(grid.values_per_image(), static_cast<Index>(pictures.size()))};
  for (const fs::path& picture : pictures) {
    try {
      batch.images.col(static_cast<Index>(batch.pictures.size())) =
          prepare_image<float>(read_image(picture), grid.image_height(), grid.image_width());
      batch.pictures.push_back(picture);
    } catch (const FileError& error) {  // says which file
      std::cerr << "classify: " << error.what() << '\n';
    } catch (const std::exception& error) {
      std::cerr << "classify: " << file_error(picture.string(), error.what()).what() << '\n';
    }
  }
  batch.images.conservativeResize(Eigen::NoChange, static_cast<Index>(batch.pictures.size()));
  return batch;
}

/// Returns how many of the pictures could not be read.
std::size_t classify_all(const auto& model, const std::vector<fs::path>& pictures,
                         const std::vector<std::string>& names, const Options& options, Threads& threads) {
  const auto batch_size = static_cast<std::size_t>(options.batch);
  Workspace workspace;
  std::size_t classified = 0;
  std::chrono::duration<double> in_model{};
  for (std::size_t first = 0; first < pictures.size(); first += batch_size) {
    const Batch batch =
        read_batch(std::span(pictures).subspan(first, std::min(pictures.size() - first, batch_size)), model.grid);
    if (batch.pictures.empty()) continue;
    const auto start = std::chrono::steady_clock::now();
    const Matrix<float> probabilities =
        softmax_columns(model.forward(batch.images, {.threads = &threads, .workspace = &workspace}));
    in_model += std::chrono::steady_clock::now() - start;
    for (const fs::path& picture : batch.pictures)
      print_top(picture, probabilities.col(&picture - batch.pictures.data()), names, options.top);
    classified += batch.pictures.size();
  }
  const std::size_t unreadable = pictures.size() - classified;
  if (classified > 0)
    std::printf("%zu pictures, %.1f ms each in the model (threads: %d, batches of %td)\n", classified,
                1e3 * in_model.count() / static_cast<double>(classified), options.threads, options.batch);
  if (unreadable > 0) std::cerr << "classify: " << unreadable << " of " << pictures.size() << " could not be read\n";
  return unreadable;
}

/// Folded where that pays: it takes as long as ten pictures in the model as published, and saves half of each.
template <class Block, class Embedding>
std::size_t run(ImageClassifier<Block, Embedding> model, const Options& options) {
  constexpr std::size_t worth_folding = 20;
  check_size("classify: channels of the model", model.grid.channels, 3);
  const std::vector<fs::path> pictures = find_pictures(options.pictures);
  const std::vector<std::string> names = class_names(options.names, model.classes());
  Threads threads(options.threads);
  if (pictures.size() < worth_folding) return classify_all(model, pictures, names, options, threads);
  return classify_all(fold(std::move(model), &threads), pictures, names, options, threads);
}

[[noreturn]] std::size_t run(const MaskedAutoencoder<float>&, const Options& options) {
  throw file_error(options.weights, "expected the weights of a classifier, found those of a masked autoencoder");
}

void add_options(CLI::App& app, Options& options, examples::LoadOptionsParser& model_options) {
  app.add_option("--weights", options.weights, "classifier: safetensors or PyTorch file")->required();
  app.add_option("pictures", options.pictures, "PNG or JPEG files, or folders of them")->required();
  model_options.add_sizes(app);
  app.add_option("--names", options.names, "file with the name of a class on each line");
  app.add_option("--top", options.top, "how many classes to show (5)")->check(CLI::PositiveNumber);
  app.add_option("--batch", options.batch, "how many pictures at a time (8)")->check(CLI::PositiveNumber);
  app.add_option("--threads", options.threads, "threads (1)")->check(CLI::PositiveNumber);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "The most probable classes of pictures, by a published CRATE or CRATE-alpha classifier.\n"
      "What cannot be read is reported, and the others are classified all the same.\n"
      "Pictures are resized so that the shorter side is 256/224 of the model's image, and cropped to the centre.");
  examples::LoadOptionsParser model_options;
  add_options(app, options, model_options);
  CLI11_PARSE(app, count, arguments);
  try {
    options.model = model_options.parsed();
    const std::size_t unreadable = std::visit([&](auto model) { return run(std::move(model), options); },
                                              load_model<float>(options.weights, options.model));
    return unreadable == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "classify: " << error.what() << '\n';
    return 1;
  }
}
