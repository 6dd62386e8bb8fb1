// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <tuple>
#include <utility>
#include <vector>

#include "crate/core/matrix.hpp"
#include "crate/layers/chain.hpp"
#include "crate/layers/pass.hpp"
#include "crate/layers/recording.hpp"
#include "crate/models/labelled_tokens.hpp"
#include "crate/operators/losses.hpp"
#include "crate/training/measures.hpp"

namespace crate {

/// Measures of the tokens that count.
struct TokenPredictionMeasures {
  static constexpr bool counts_tokens = true;

  LossSum loss = {};  ///< nats

  TokenPredictionMeasures& operator+=(const TokenPredictionMeasures& other) {
    loss += other.loss;
    return *this;
  }

  [[nodiscard]] double perplexity() const { return std::exp(loss.mean()); }

  static constexpr auto numbers() {
    return std::tuple{measured_number("perplexity", &TokenPredictionMeasures::perplexity)};
  }
  static constexpr auto sums() { return std::tuple{}; }
};

/// Cross-entropy of a language model's logits and the labels, over all tokens that have one: the next tokens of a
/// causal model, the masked ones of a masked language model. The loss of an example is the mean over the tokens that
/// count in its micro-batch. Logits are computed for these tokens only, and their gradient overwrites them to save
/// memory.
template <class Model>
struct TokenPredictionObjective {
  using Scalar = typename Model::Scalar;
  using Examples = LabelledTokens;
  using Memory = Recording<Model>;
  using Measures = TokenPredictionMeasures;
  using OnceBackward = TokenPredictionObjective;

  CrossEntropyOptions loss = {};

  Measures accumulate(const Model& model, const Examples& examples, double weight, Model& gradient, Memory& recording,
                      const Run<Scalar>& run) const {
    const Counted counted = counted_of(examples);
    if (counted.labels.empty()) return {};
    const TokenIds input(examples.ids, counted.layout, examples.types);
    auto logits = forward_kept(model, input, recording, run);
    const double of_token =
        weight * static_cast<double>(examples.layout.sets()) / static_cast<double>(counted.labels.size());
    Lent<Scalar> lent(run);
    const auto backward_from = [&](auto& cotangent) {
      const LossSum sum = cross_entropy_to_gradient(cotangent, counted.labels, of_token, loss, lent.threads());
      backward(model, cotangent, recording, gradient, run);
      return Measures{sum};
    };
    if constexpr (detail::frees_output<Model>()) {
      return backward_from(logits);
    } else {
      Matrix<Scalar> copy = logits;
      return backward_from(copy);
    }
  }

  [[nodiscard]] Measures measure(const Model& model, const Examples& examples, const Run<Scalar>& run) const {
    const Counted counted = counted_of(examples);
    if (counted.labels.empty()) return {};
    const TokenIds input(examples.ids, counted.layout, examples.types);
    return {cross_entropy(model.forward(input, run), counted.labels, loss)};
  }

 private:
  /// The labels that count, and the layout that selects their tokens.
  struct Counted {
    TokenLayout layout;
    std::vector<Index> labels;
  };

  [[nodiscard]] Counted counted_of(const Examples& examples) const {
    check_size("labels", std::ssize(examples.labels), std::ssize(examples.ids));
    std::vector<Index> labels, chosen;
    for (std::size_t j = 0; j < examples.labels.size(); ++j) {
      if (examples.labels[j] == loss.ignored) continue;
      labels.push_back(examples.labels[j]);
      chosen.push_back(static_cast<Index>(j));
    }
    if (labels.size() == examples.labels.size()) return {examples.layout, std::move(labels)};
    return {examples.layout.with_chosen(std::move(chosen)), std::move(labels)};
  }
};

}  // namespace crate
