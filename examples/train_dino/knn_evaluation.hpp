// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "crate/io/pictures/image_source.hpp"
#include "crate/probing/image_features.hpp"
#include "crate/probing/nearest_neighbours.hpp"
#include "crate/training/examples.hpp"
#include "crate/training/self_distillation.hpp"
#include "most_probed_pixels.hpp"
#include "train_dino/bench.hpp"
#include "train_dino/report.hpp"

// Quality of features: how many of their nearest neighbours have the same class, and how far they spread.

namespace train_dino {

/// `count` images, chosen by chance but the same ones every time, in the order of the data. Nothing if these are all:
/// if there are no more, or `count` is 0.
[[nodiscard]] inline std::optional<crate::ImageDataSet> part_of(const crate::ImageDataSet& data, Index count) {
  if (count == 0 || count >= data.size()) return std::nullopt;
  std::vector<Index> chosen = crate::epoch_order(data.size(), 0, 0);
  chosen.resize(static_cast<std::size_t>(count));
  std::sort(chosen.begin(), chosen.end());
  crate::ImageDataSet part{.height = data.height, .width = data.width, .channels = data.channels};
  part.labels = crate::detail::labels_of(data, chosen);
  if (data.files) {
    part.files = {.read = [read = data.files->read, chosen](
                              Index i, std::uint8_t* pixels) { read(chosen[static_cast<std::size_t>(i)], pixels); },
                  .fingerprint = crate::detail::fingerprint(std::span<const Index>(chosen), data.files->fingerprint)};
  } else {
    part.pixels = data.pixels(Eigen::all, chosen);
  }
  part.class_names = data.class_names;
  return part;
}

[[nodiscard]] inline std::vector<Index> all_of(const crate::ImageDataSet& data) {
  std::vector<Index> indices(static_cast<std::size_t>(data.size()));
  std::iota(indices.begin(), indices.end(), Index{0});
  return indices;
}

/// Counts the images of `asked` that their nearest neighbours among `known` classify correctly.
[[nodiscard]] inline crate::SelfDistillationMeasures judge(const crate::LabelledFeatures<float>& known,
                                                           const crate::LabelledFeatures<float>& asked,
                                                           const Bench& bench) {
  const crate::NearestNeighbourOptions options{.neighbours = std::min<Index>(20, known.size())};
  const std::vector<Index> found = classify_by_neighbours(known, asked.features, options, bench.threads, bench.ranks());
  crate::SelfDistillationMeasures measures{.neighbours_asked = asked.size()};
  for (std::size_t i = 0; i < found.size(); ++i) measures.neighbours_right += found[i] == asked.labels[i] ? 1 : 0;
  return measures;
}

template <class Classifier>
[[nodiscard]] crate::SelfDistillationMeasures judge_encoder(const Bench& bench, const Classifier& encoder) {
  if (!bench.is_labelled()) return {};
  const crate::FeatureOptions options{.token = crate::FeatureToken::pooled, .normalised = true};
  constexpr Index at_a_time = 16;
  const auto features = [&](const crate::ImageDataSet& images) {
    return labelled_features(encoder, crate::ImageSource<float>{images, bench.preprocessing.normalisation},
                             images.classes(), options, bench.threads, at_a_time, bench.ranks());
  };
  return judge(features(bench.known), features(bench.asked), bench);
}

[[nodiscard]] inline crate::SelfDistillationMeasures judge_pixels(const Bench& bench) {
  if (!bench.is_labelled() || bench.known.values_per_image() > examples::most_probed_pixels) return {};
  const auto pixels = [&](const crate::ImageDataSet& images) {
    return labelled_pixels(crate::ImageSource<float>{images, bench.preprocessing.normalisation}, images.classes(),
                           bench.threads);
  };
  return judge(pixels(bench.known), pixels(bench.asked), bench);
}

/// The spread of the teacher's features of some test images, and the verdict of nearest neighbours.
template <class State>
[[nodiscard]] auto evaluation_of(const Bench& bench, const State& state) {
  return [&](const auto& teacher, crate::Threads& threads, crate::Communicator&) {
    crate::SelfDistillationMeasures measures = judge_encoder(bench, teacher.encoder);
    const Index most = 512;
    const std::optional<crate::ImageDataSet> part = part_of(bench.asked, most);
    const crate::ImageDataSet& some = part ? *part : bench.asked;
    const crate::Matrix<float> images =
        crate::ImageSource<float>{some, bench.preprocessing.normalisation}.take(all_of(some)).images;
    measures += state.objective.gauges(forward(teacher, crate::Images<float>(images), {.threads = &threads}).tokens,
                                       state.step, threads);
    return measures;
  };
}

/// What training is to exceed.
template <class Classifier>
void print_untrained(const Bench& bench, const Classifier& encoder) {
  const double of_pixels = judge_pixels(bench).neighbour_accuracy(),
               of_encoder = judge_encoder(bench, encoder).neighbour_accuracy();
  std::printf("k-NN accuracy of pixels %s, of the untrained encoder %s\n", percent_text(of_pixels).c_str(),
              percent_text(of_encoder).c_str());
}

}  // namespace train_dino
