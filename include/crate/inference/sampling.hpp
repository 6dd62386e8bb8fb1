// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/random.hpp"

// Choosing the next token from the logits: first the repetition penalty, then the temperature, then the k most probable
// tokens (top-k), then the smallest set of these with total probability p (top-p). Defaults disable each.

namespace crate {

struct SamplingOptions {
  double temperature = 1;         ///< T >= 0: probabilities softmax(logits / T); 0 for the largest logit
  Index top_k = 0;                ///< only the k most probable tokens, k >= 1; 0: all
  double top_p = 1;               ///< only the fewest most probable tokens with total probability >= p, in (0, 1]
  double repetition_penalty = 1;  ///< r > 0: logits x of tokens in the text become x / r, or x r if negative
  std::uint64_t seed = 0;         ///< of the random numbers

  void check() const {
    check_option(std::isfinite(temperature) && temperature >= 0, "sampling: temperature >= 0", temperature);
    check_option(top_k >= 0, "sampling: top-k >= 0", top_k);
    check_option(top_p > 0 && top_p <= 1, "sampling: top-p in (0, 1]", top_p);
    check_option(std::isfinite(repetition_penalty) && repetition_penalty > 0, "sampling: repetition penalty > 0",
                 repetition_penalty);
  }
};

namespace detail {

struct Candidate {
  Index id = 0;
  double logit = 0;
};

/// Whether a is less probable than b; among equals, the larger id is.
[[nodiscard]] inline bool is_less_likely(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit < b.logit : a.id > b.id;
}

[[nodiscard]] inline double largest_logit(const std::vector<Candidate>& candidates) {
  return std::max_element(candidates.begin(), candidates.end(), is_less_likely)->logit;
}

inline void penalise(std::vector<Candidate>& candidates, std::span<const Index> text, double penalty) {
  std::vector<bool> seen(candidates.size(), false);
  for (const Index id : text)
    if (id >= 0 && id < std::ssize(candidates)) seen[static_cast<std::size_t>(id)] = true;
  for (Candidate& candidate : candidates)
    if (seen[static_cast<std::size_t>(candidate.id)])
      candidate.logit = candidate.logit > 0 ? candidate.logit / penalty : candidate.logit * penalty;
}

/// Keeps the k most probable candidates, in decreasing order.
inline void keep_likeliest(std::vector<Candidate>& candidates, Index k) {
  if (k < std::ssize(candidates)) {
    std::nth_element(candidates.begin(), candidates.begin() + k, candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return is_less_likely(b, a); });
    candidates.resize(static_cast<std::size_t>(k));
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return is_less_likely(b, a); });
}

/// Keeps the fewest most probable candidates with total probability at least p.
inline void keep_nucleus(std::vector<Candidate>& candidates, double p, double temperature) {
  const double largest = largest_logit(candidates);
  const auto weight = [&](const Candidate& c) { return std::exp((c.logit - largest) / temperature); };
  double total = 0, reached = 0;
  for (const Candidate& candidate : candidates) total += weight(candidate);
  std::make_heap(candidates.begin(), candidates.end(), is_less_likely);
  std::vector<Candidate> nucleus;
  while (!candidates.empty() && reached < p * total) {
    std::pop_heap(candidates.begin(), candidates.end(), is_less_likely);
    nucleus.push_back(candidates.back());
    reached += weight(candidates.back());
    candidates.pop_back();
  }
  candidates.swap(nucleus);
}

[[nodiscard]] inline Index draw(const std::vector<Candidate>& candidates, double temperature, Random& random) {
  const double largest = largest_logit(candidates);
  std::vector<double> reached;
  reached.reserve(candidates.size());
  double total = 0;
  for (const Candidate& candidate : candidates)
    reached.push_back(total += std::exp((candidate.logit - largest) / temperature));
  const auto chosen = std::upper_bound(reached.begin(), reached.end(), random.uniform() * total);
  return candidates[static_cast<std::size_t>(std::min(chosen - reached.begin(), std::ssize(candidates) - 1))].id;
}

}  // namespace detail

/// The next token of a text, given as ids, from the logits of all tokens; among equals the smallest id. Draws one
/// random number, or none at temperature 0. Throws OptionError on an option out of range, ShapeError if there are no
/// logits, and Error if one is nan, or the largest is infinite.
template <class Derived>
[[nodiscard]] Index choose_token(const Eigen::MatrixBase<Derived>& logits, std::span<const Index> text,
                                 const SamplingOptions& options, Random& random) {
  options.check();
  check_not_empty("sampling: logits", logits);
  std::vector<detail::Candidate> candidates(static_cast<std::size_t>(logits.size()));
  for (Index id = 0; id < logits.size(); ++id) {
    const auto logit = static_cast<double>(logits(id));
    if (std::isnan(logit)) throw Error(concatenate("sampling: the logit of token ", id, " is nan"));
    candidates[static_cast<std::size_t>(id)] = {id, logit};
  }
  if (options.repetition_penalty != 1) detail::penalise(candidates, text, options.repetition_penalty);
  if (!std::isfinite(detail::largest_logit(candidates)))
    throw Error(
        concatenate("sampling: expected a largest logit that is finite, found ", detail::largest_logit(candidates)));
  if (options.temperature == 0)
    return std::max_element(candidates.begin(), candidates.end(), detail::is_less_likely)->id;
  if (options.top_k > 0) detail::keep_likeliest(candidates, options.top_k);
  if (options.top_p < 1) detail::keep_nucleus(candidates, options.top_p, options.temperature);
  return detail::draw(candidates, options.temperature, random);
}

}  // namespace crate
