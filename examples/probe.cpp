// SPDX-License-Identifier: MIT

// Measures the features of a frozen model: how many test images nearest neighbours and two linear classifiers classify
// correctly with them, compared with an untrained encoder and with raw pixels.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <utility>
#include <variant>

#include "crate/core/detail/count_of.hpp"
#include "crate/crate.hpp"
#include "crate/io/load_model.hpp"
#include "crate/io/pictures/image_source.hpp"
#include "crate/io/pictures/prepare.hpp"
#include "crate/io/pictures/read_image_data_set.hpp"
#include "load_options.hpp"
#include "most_probed_pixels.hpp"
#include "probe/features_file.hpp"
#include "probe/options.hpp"
#include "probe/score.hpp"
#include "program_options/program_options.hpp"

namespace {

using namespace crate;
using examples::most_probed_pixels;
using probe::Features;
using probe::Options;
using Source = ImageSource<float>;

/// Training and test images as the model takes them.
struct Images {
  TrainingAndTest sets;
  Source training, test;
  Index classes;

  Images(TrainingAndTest read, const ImageNormalisation& normalisation)
      : sets(std::move(read)),
        training{sets.training, normalisation},
        test{sets.test, normalisation},
        classes(sets.training.classes()) {}
  Images(const Images&) = delete;
  Images& operator=(const Images&) = delete;
};

template <class Model>
TrainingAndTest read_data(const Options& options, const Model& model, Threads& threads) {
  const PatchGrid& grid = patch_grid(model);
  ImageFoldersSplit read =
      read_image_data_set(options.data,
                          {.height = grid.image_height(),
                           .width = grid.image_width(),
                           .channels = grid.channels == 1 ? Index{1} : Index{3},
                           .fit = model.about.preprocessing.fit,
                           .orientation = model.about.preprocessing.orientation,
                           .unreadable = options.strict ? UnreadablePicture::fail : UnreadablePicture::leave_out},
                          threads);
  for (const std::string& reason : read.left_out) std::cerr << "probe: left out: " << reason << '\n';
  for (ImageDataSet* const set : {&read.sets.training, &read.sets.test}) {
    *set = with_channels(std::move(*set), grid.channels);
    if (set->height != grid.image_height() || set->width != grid.image_width())
      throw file_error(options.data, "expected images of ", grid.image_height(), " x ", grid.image_width(),
                       ", as the model takes them, found ", set->height, " x ", set->width);
  }
  return std::move(read.sets);
}

/// What the model expects of pixels, or else what the training images have.
template <class Model>
ImageNormalisation normalisation_for(const Model& model, const ImageDataSet& training) {
  const ImagePreprocessing& expected = model.about.preprocessing;
  return expected.is_known() ? expected.normalisation : measure_normalisation(training);
}

template <class Model>
concept HasPool = requires(const Model& model) {
  model.pool.pooling;
};

template <class Model>
FeatureOptions feature_options(const Options& options) {
  FeatureOptions features{.layer = options.layer, .normalised = options.layer == 0 && !options.no_norm};
  if (!options.token.empty())
    features.token = options.token == "mean" ? FeatureToken::mean_of_patches : FeatureToken::class_token;
  else
    features.token = HasPool<Model> ? FeatureToken::pooled : FeatureToken::mean_of_patches;
  return features;
}

template <class Model>
Features features_of(const Model& model, const Images& images, const Options& options, Threads& threads) {
  const FeatureOptions of = feature_options<Model>(options);
  return {labelled_features(model, images.training, images.classes, of, threads, options.batch),
          labelled_features(model, images.test, images.classes, of, threads, options.batch),
          images.sets.training.class_names};
}

/// What features are of, in words.
template <class Model>
const char* token_text(const Model& model, FeatureToken token) {
  if constexpr (HasPool<Model>)
    if (token == FeatureToken::pooled)
      return model.pool.pooling == Pooling::mean ? "mean of all tokens" : "class token";
  return token == FeatureToken::class_token ? "class token" : "mean of the patches";
}

template <class Model>
void print_model(const Model& model, const Images& images, const Options& options) {
  const FeatureOptions of = feature_options<Model>(options);
  std::printf("%s, %td parameters; %s after layer %td of %td%s; %td training and %s of %s\n",
              std::string(FamilyOf<Model>::name).c_str(), parameter_count(model), token_text(model, of.token),
              of.layer == 0 ? std::ssize(model.encoder.layers) : of.layer, std::ssize(model.encoder.layers),
              of.normalised ? " and its norm" : "", images.training.size(),
              detail::count_of(images.test.size(), "test image").c_str(),
              detail::count_of(images.classes, "class").c_str());
  std::fflush(stdout);
}

/// Makes features, probes them, and prints a line of the table.
template <class Make>
probe::Scores probe_and_print(const char* name, const Options& options, Threads& threads, const Make& make) {
  const auto start = std::chrono::steady_clock::now();
  const Features features = make();
  const double seconds = probe::seconds_since(start);
  const probe::Scores scores = probe::score(features, neighbours_among(options, features.training.size()), threads);
  probe::print_scores(name, features.training.dim(), scores, seconds);
  return scores;
}

/// Probes an untrained encoder and the pixels, for comparison.
template <class Model>
void print_comparison(Model model, const Images& images, const Options& options, Threads& threads) {
  initialise(model, options.seed);
  (void)probe_and_print("untrained encoder", options, threads,
                        [&] { return features_of(model, images, options, threads); });
  const Index pixels = images.sets.training.pixels.rows();
  if (pixels > most_probed_pixels)
    return void(std::printf("  %-20s %7td  skipped: more than %td numbers\n", "pixels", pixels, most_probed_pixels));
  (void)probe_and_print("pixels", options, threads, [&] {
    return Features{labelled_pixels(images.training, images.classes, threads),
                    labelled_pixels(images.test, images.classes, threads),
                    {}};
  });
}

template <class Model>
int probe_model(const Model& model, const Options& options) {
  const auto depth = std::ssize(model.encoder.layers);
  check_option(options.layer <= depth, concatenate("--layer at most ", depth, ", the layers of the encoder"),
               options.layer);
  Threads threads(options.threads);
  TrainingAndTest sets = read_data(options, model, threads);
  const ImageNormalisation normalisation = normalisation_for(model, sets.training);
  const Images images(std::move(sets), normalisation);
  print_model(model, images, options);
  probe::print_heading(neighbours_among(options, images.training.size()).neighbours);
  const probe::Scores scores = probe_and_print("this model", options, threads, [&] {
    Features features = features_of(model, images, options, threads);
    if (!options.features.empty()) probe::write_features(options.features, features);
    return features;
  });
  if (!options.alone) print_comparison(model, images, options, threads);
  if (options.confusion) probe::print_confusion(scores.logistic, images.sets.training.class_names);
  if (!options.features.empty()) std::printf("\nfeatures written to %s\n", options.features.c_str());
  return 0;
}

int probe_features(const Options& options) {
  Threads threads(options.threads);
  const Features features = probe::read_features(options.from_features);
  std::printf("%td training and %s of %s\n", features.training.size(),
              detail::count_of(features.test.size(), "test example").c_str(),
              detail::count_of(features.training.classes, "class").c_str());
  const NearestNeighbourOptions voting = neighbours_among(options, features.training.size());
  probe::print_heading(voting.neighbours);
  const probe::Scores scores = probe::score(features, voting, threads);
  probe::print_scores("these features", features.training.dim(), scores, 0);
  if (options.confusion) probe::print_confusion(scores.logistic, features.class_names);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  CLI::App app(
      "Measures the features of a frozen model: how many test images are classified correctly by k nearest\n"
      "neighbours among the training images, by ridge regression and by logistic regression (their penalties are\n"
      "chosen on a fifth of the training images). For comparison, does the same with an untrained encoder of the\n"
      "same shape, and with raw pixels.\n");
  program_options::set_up(app, "probe");
  examples::LoadOptionsParser model_options;
  probe::add_options(app, options, model_options);
  return program_options::run(app, count, arguments, [&] {
    options.model = model_options.parsed();
    probe::check_options(app, options);
    if (!options.from_features.empty()) return probe_features(options);
    return std::visit([&](const auto& model) { return probe_model(model, options); },
                      load_model<float, ImageFamilies>(options.weights, options.model));
  });
}
