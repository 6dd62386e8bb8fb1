// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "crate/core/threads.hpp"
#include "crate/probing/confusion.hpp"
#include "crate/probing/logistic_classifier.hpp"
#include "crate/probing/nearest_neighbours.hpp"
#include "crate/probing/ridge_classifier.hpp"
#include "probe/features_file.hpp"

namespace probe {

/// What the probes make of the test examples.
struct Scores {
  crate::Confusion neighbours, ridge, logistic;
  double seconds = 0;
};

[[nodiscard]] inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

[[nodiscard]] inline Scores score(const Features& features, const crate::NearestNeighbourOptions& options,
                                  crate::Threads& threads) {
  const auto start = std::chrono::steady_clock::now();
  const crate::LabelledFeatures<float>&training = features.training, &test = features.test;
  crate::check_labelled("features to be judged by", test);
  const auto judge = [&](const std::vector<crate::Index>& predicted) {
    return crate::confusion_of(test.labels, predicted, test.classes);
  };
  Scores scores;
  scores.neighbours = judge(crate::classify_by_neighbours(training, test.features, options, threads));
  scores.ridge = judge(crate::fit_ridge_classifier(training, threads).classify(test.features, threads));
  scores.logistic = judge(crate::fit_logistic_classifier(training, threads).classify(test.features, threads));
  scores.seconds = seconds_since(start);
  return scores;
}

inline void print_heading(crate::Index neighbours) {
  const std::string heading = crate::concatenate(neighbours, "-NN");
  std::printf("\n  %-20s %7s %11s %11s %11s %9s\n", "features", "numbers", heading.c_str(), "ridge", "logistic",
              "seconds");
  std::fflush(stdout);
}

/// A line of the table; `seconds` went into the features before.
inline void print_scores(const char* name, crate::Index dim, const Scores& scores, double seconds) {
  std::printf("  %-20s %7td %9.2f %% %9.2f %% %9.2f %% %9.1f\n", name, dim, 100 * scores.neighbours.accuracy(),
              100 * scores.ridge.accuracy(), 100 * scores.logistic.accuracy(), seconds + scores.seconds);
  std::fflush(stdout);
}

/// Row by row, what the examples of a class were taken for.
inline void print_confusion(const crate::Confusion& confusion, const std::vector<std::string>& names) {
  std::printf("\n  confusion matrix of logistic regression: rows are true classes, columns predicted ones\n\n  class");
  for (crate::Index c = 0; c < confusion.counts.cols(); ++c) std::printf(" %6td", c);
  std::printf("\n");
  for (crate::Index r = 0; r < confusion.counts.rows(); ++r) {
    std::printf("  %5td", r);
    for (crate::Index c = 0; c < confusion.counts.cols(); ++c) std::printf(" %6td", confusion.counts(r, c));
    std::printf("%s%s\n", names.empty() ? "" : "  ", names.empty() ? "" : names[static_cast<std::size_t>(r)].c_str());
  }
}

}  // namespace probe
