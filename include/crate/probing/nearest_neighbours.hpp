// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/threads.hpp"
#include "crate/kernels/product.hpp"
#include "crate/operators/unit_columns.hpp"
#include "crate/probing/confusion.hpp"
#include "crate/probing/labelled_features.hpp"
#include "crate/training/communicator.hpp"
#include "crate/training/shared_columns.hpp"

// Classification by the nearest neighbours (k-NN) of features.

namespace crate {

struct NearestNeighbourOptions {
  Index neighbours = 20;      ///< k >= 1
  double temperature = 0.07;  ///< > 0

  void check() const {
    check_option(neighbours >= 1, "neighbours >= 1", neighbours);
    check_option(temperature > 0 && std::isfinite(temperature), "temperature of votes > 0 and finite", temperature);
  }
};

namespace detail {

/// The k examples of largest similarity; of equal ones the earlier.
template <Scalar S>
class MostSimilar {
 public:
  struct Neighbour {
    S similarity;
    Index example;
  };

  explicit MostSimilar(Index k) : k_(static_cast<std::size_t>(k)) { found_.reserve(k_ + 1); }

  [[nodiscard]] const std::vector<Neighbour>& found() const { return found_; }

  /// Adds the similarities of examples first, first + 1, ..., all later than those added before.
  template <class Similarities>
  void add(const Similarities& similarities, Index first) {
    constexpr Index glance = 64;
    for (Index at = 0; at < similarities.size(); at += glance) {
      const auto some = similarities.segment(at, std::min(glance, similarities.size() - at));
      if (is_full() && some.maxCoeff() <= found_.front().similarity) continue;
      for (Index i = 0; i < some.size(); ++i)
        if (!is_full() || some(i) > found_.front().similarity) take({some(i), first + at + i});
    }
  }

 private:
  [[nodiscard]] bool is_full() const { return found_.size() == k_; }

  /// The front of the heap is the next to be dropped: the least similar, the latest of equals.
  static bool stays_longer(const Neighbour& a, const Neighbour& b) {
    return a.similarity > b.similarity || (a.similarity == b.similarity && a.example < b.example);
  }

  void take(const Neighbour& neighbour) {
    found_.push_back(neighbour);
    std::push_heap(found_.begin(), found_.end(), stays_longer);
    if (found_.size() <= k_) return;
    std::pop_heap(found_.begin(), found_.end(), stays_longer);
    found_.pop_back();
  }

  std::size_t k_;
  std::vector<Neighbour> found_;  // a heap
};

/// The nearest neighbours of unit columns among unit columns, by blocks of products that stay in the cache.
template <Scalar S, class Queries>
[[nodiscard]] std::vector<MostSimilar<S>> most_similar(const Matrix<S>& examples, const Queries& queries, Index k) {
  constexpr Index block = 1024;
  std::vector<MostSimilar<S>> nearest(static_cast<std::size_t>(queries.cols()), MostSimilar<S>(k));
  Threads alone;
  Matrix<S> similarities;
  for (Index first = 0; first < examples.cols(); first += block) {
    const Index count = std::min(block, examples.cols() - first);
    similarities.resize(count, queries.cols());
    multiply(examples.middleCols(first, count).transpose(), queries, similarities, alone);
    for (Index j = 0; j < queries.cols(); ++j) nearest[static_cast<std::size_t>(j)].add(similarities.col(j), first);
  }
  return nearest;
}

}  // namespace detail

/// The votes of the k nearest examples for the classes of M queries: classes x M,
///   votes(c, j) = sum over neighbours i of class c of exp((s_ij - 1) / temperature),
/// with s_ij the cosine of the features of i and j, each of size d. O(N M d). Source: the published evaluation of DINO
/// (arXiv 2104.14294), except for the factor exp(-1 / temperature), without which votes overflow.
/// The ranks divide the M queries. The result is bit-identical for any number of threads and ranks.
/// Throws ShapeError unless features and labels agree, OptionError if there are fewer examples than k, or only one
/// class, PrecisionError if features are not finite.
template <Scalar S>
[[nodiscard]] Matrix<double> neighbour_votes(const LabelledFeatures<S>& examples, const Matrix<S>& features,
                                             const NearestNeighbourOptions& options, Threads& threads,
                                             Communicator& ranks = single_process()) {
  options.check();
  detail::check_training(examples);
  check_option(examples.size() >= options.neighbours,
               concatenate("at least as many examples as neighbours, ", options.neighbours), examples.size());
  check_size("features: rows", features.rows(), examples.dim());
  check_finite_features("features", features);
  const Matrix<S> known = unit_columns<S>(examples.features), asked = unit_columns<S>(features);
  Matrix<double> votes = Matrix<double>::Zero(examples.classes, features.cols());
  const auto vote = [&](Index first, Index count, int) {
    const auto nearest = detail::most_similar<S>(known, asked.middleCols(first, count), options.neighbours);
    for (Index j = 0; j < count; ++j)
      for (const auto& neighbour : nearest[static_cast<std::size_t>(j)].found())
        votes(examples.labels[static_cast<std::size_t>(neighbour.example)], first + j) +=
            std::exp((static_cast<double>(neighbour.similarity) - 1) / options.temperature);
  };
  constexpr Index queries = 256;
  compute_shared_columns(ranks, "votes of neighbours", queries, threads, vote, votes);
  return votes;
}

/// The class with the most votes for each of M queries. Throws as neighbour_votes.
template <Scalar S>
[[nodiscard]] std::vector<Index> classify_by_neighbours(const LabelledFeatures<S>& examples, const Matrix<S>& features,
                                                        const NearestNeighbourOptions& options, Threads& threads,
                                                        Communicator& ranks = single_process()) {
  return largest_rows(neighbour_votes(examples, features, options, threads, ranks));
}

}  // namespace crate
