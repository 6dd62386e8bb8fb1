// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <limits>

#include "crate/core/matrix.hpp"
#include "crate/layers/pass.hpp"
#include "crate/operators/losses.hpp"

// What a model is trained for.

namespace crate {

/// Sums over examples, which add.
struct Measures {
  LossSum loss = {};
  Index correct = 0;           ///< examples whose label has the largest logit
  Index correct_in_top_5 = 0;  ///< ... is among the five largest

  Measures& operator+=(const Measures& other) {
    loss += other.loss;
    correct += other.correct;
    correct_in_top_5 += other.correct_in_top_5;
    return *this;
  }

  /// Shares of the counted examples; not a number if there were none.
  [[nodiscard]] double accuracy() const { return share(correct); }
  [[nodiscard]] double top_5_accuracy() const { return share(correct_in_top_5); }

 private:
  [[nodiscard]] double share(Index part) const {
    return loss.count > 0 ? static_cast<double>(part) / static_cast<double>(loss.count)
                          : std::numeric_limits<double>::quiet_NaN();
  }
};

/// A loss of a model on examples.
///   accumulate(model, examples, weight, gradient, memory, run)   adds `weight` times the gradient of the sum of the
///                                                                losses to `gradient`, a model, and returns the sums
///   measure(model, examples, run)                                returns the sums alone
/// `Memory` holds what a thread needs for one call of accumulate, and keeps for the next.
template <class O, class Model, class Examples>
concept Objective = std::default_initializable<typename O::Memory> &&
    requires(const O& objective, const Model& model, const Examples& examples, double weight, Model& gradient,
             typename O::Memory& memory, const Run<typename Model::Scalar>& run) {
  { objective.accumulate(model, examples, weight, gradient, memory, run) } -> std::same_as<Measures>;
  { objective.measure(model, examples, run) } -> std::same_as<Measures>;
};

}  // namespace crate
