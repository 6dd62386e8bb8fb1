// SPDX-License-Identifier: MIT

// Names what is in pictures: a classifier's most probable classes of every PNG or JPEG given, found in a folder given,
// or in the test images of a data set.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "classify/options.hpp"
#include "classify/pictures.hpp"
#include "classify/score.hpp"
#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "load_options.hpp"
#include "program_options/program_options.hpp"

namespace {

using namespace crate;
using classify::Options;
using classify::Pictures;

void print_top(const std::string& picture, const Vector<float>& probabilities, const std::vector<std::string>& names,
               Index top) {
  std::vector<Index> order(static_cast<std::size_t>(probabilities.size()));
  std::iota(order.begin(), order.end(), Index{0});
  const auto end = order.begin() + std::min<Index>(top, probabilities.size());
  std::partial_sort(order.begin(), end, order.end(),
                    [&](Index a, Index b) { return probabilities(a) > probabilities(b); });
  std::printf("%s\n", picture.c_str());
  for (auto i = order.begin(); i != end; ++i)
    std::printf("  %6.2f %%  class %td%s%s\n", 100 * static_cast<double>(probabilities(*i)), *i,
                names.empty() ? "" : "  ", names.empty() ? "" : names[static_cast<std::size_t>(*i)].c_str());
  std::fflush(stdout);
}

/// Pictures beside each other, ready for the model.
struct Batch {
  std::vector<std::string> names;
  std::vector<Index> labels;
  Matrix<float> images;
};

void complain(const std::string& what) { std::cerr << "classify: " << what << '\n'; }

/// Those of the pictures that can be read; the others are reported.
Batch read_batch(const Pictures& pictures, Index first, Index count, const auto& model) {
  Batch batch{{}, {}, Matrix<float>(patch_grid(model).values_per_image(), count)};
  for (Index i = first; i < first + count; ++i) {
    try {
      batch.images.col(static_cast<Index>(batch.names.size())) = prepare(model, pictures.read(i));
      batch.names.push_back(pictures.name(i));
      batch.labels.push_back(pictures.label(i));
    } catch (const FileError& error) {  // says which file
      complain(error.what());
    } catch (const ShapeError& error) { complain(file_error(pictures.name(i), error.what()).what()); }
  }
  batch.images.conservativeResize(Eigen::NoChange, static_cast<Index>(batch.names.size()));
  return batch;
}

/// Throws Error unless all logits are finite: otherwise the weights are damaged, or too large for floats.
void check_finite(const Batch& batch, const Matrix<float>& logits) {
  for (Index i = 0; i < logits.cols(); ++i)
    if (!logits.col(i).allFinite())
      throw Error(concatenate(
          batch.names[static_cast<std::size_t>(i)],
          ": expected finite logits, found nan or infinity: the weights are damaged or belong to another model"));
}

/// Returns how many of the pictures could not be read.
Index classify_all(const auto& model, const Pictures& pictures, const Options& options, Threads& threads) {
  Workspace workspace;
  classify::Score score;
  Index classified = 0;
  std::chrono::duration<double> in_model{};
  for (Index first = 0; first < pictures.size(); first += options.batch) {
    const Batch batch = read_batch(pictures, first, std::min(pictures.size() - first, options.batch), model);
    if (batch.names.empty()) continue;
    const auto start = std::chrono::steady_clock::now();
    const Matrix<float> logits = model.forward(batch.images, {.threads = &threads, .workspace = &workspace});
    in_model += std::chrono::steady_clock::now() - start;
    check_finite(batch, logits);
    const Matrix<float> probabilities = softmax_columns(logits);
    if (pictures.are_shown())
      for (Index i = 0; i < logits.cols(); ++i)
        print_top(batch.names[static_cast<std::size_t>(i)], probabilities.col(i), model.about.class_names,
                  options.top.value_or(5));
    score.add(logits, batch.labels);
    classified += logits.cols();
  }
  if (classified > 1)
    std::printf("%td pictures, %.1f ms each in the model (threads: %d, batches of %td)\n", classified,
                1e3 * in_model.count() / static_cast<double>(classified), options.threads, options.batch);
  score.print();
  const Index unreadable = pictures.size() - classified;
  if (unreadable > 0) complain(concatenate(unreadable, " of ", pictures.size(), " could not be read"));
  return unreadable;
}

/// Folds the model if there are enough pictures: folding takes as long as about ten of them, and halves the time of
/// each. Never for scored pictures, so that the accuracy equals that of the training exactly.
template <class Block, class Embedding>
Index run(ImageClassifier<Block, Embedding> model, const Options& options) {
  if (!model.about.head_is_trained)
    throw file_error(options.weights,
                     "expected a trained classifier, found an encoder trained without labels, whose head is untrained; "
                     "train a head with train_classifier --from, or evaluate the features with probe");
  constexpr Index worth_folding = 20;
  Threads threads(options.threads);
  const Pictures pictures(options, classify::expected_by(model), threads);
  if (!pictures.note().empty()) complain(pictures.note());
  if (pictures.size() < worth_folding || pictures.are_scored()) return classify_all(model, pictures, options, threads);
  return classify_all(fold(std::move(model), &threads), pictures, options, threads);
}

template <class Model>
[[noreturn]] Index run(const Model&, const Options& options) {
  throw file_error(options.weights, "expected the weights of a classifier of images, found those of ",
                   FamilyOf<Model>::kind);
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Prints the most probable classes of pictures, using a CRATE, CRATE-alpha or vision transformer classifier.\n\n"
      "Pictures are prepared as stored with the weights; if nothing is stored, as in the published evaluation:\n"
      "the shorter side resized to 256/224 of the model's image size, the centre cropped, the colours normalised\n"
      "as in ImageNet. A picture that cannot be read is reported and skipped. The accuracy is printed at the end\n"
      "for --data, and for pictures in folders named after a class.\n");
  program_options::set_up(app, "classify");
  program_options::add_exit_code(app, "1 also if a picture could not be read");
  examples::LoadOptionsParser model_options;
  classify::add_options(app, options, model_options);
  return program_options::run(app, count, arguments, [&] {
    options.model = model_options.parsed();
    const Index unreadable = std::visit([&](auto model) { return run(std::move(model), options); },
                                        load_model<float, ImageFamilies>(options.weights, options.model));
    return unreadable == 0 ? 0 : 1;
  });
}
