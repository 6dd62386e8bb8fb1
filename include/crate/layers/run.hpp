// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string_view>

#include "crate/core/dropout.hpp"
#include "crate/core/matrix.hpp"
#include "crate/core/parameter_list.hpp"
#include "crate/core/threads.hpp"
#include "crate/core/token_sets.hpp"
#include "crate/core/workspace.hpp"
#include "crate/layers/token_cache.hpp"

// What a caller may pass to forward and backward.

namespace crate {

/// What an observer sees of a forward pass: "layers.3.compress" is what the part `compress` of the block `layers[3]`
/// returned, "layers.3.compress.projection" is U^T Z inside it.
template <Scalar S>
struct HalfStep {
  std::string_view name;
  Eigen::Ref<Matrix<S>> activation;  ///< d x (total tokens); what is written here the next half-step receives
  const TokenLayout& layout;         ///< where in it each token set begins
};

/// Sees, and may change, the activation at every half-step of a forward pass.
template <Scalar S>
using Observer = std::function<void(HalfStep<S>)>;

/// Is told, in a backward pass, of parameters whose gradient is complete: the pass adds nothing to it any more.
using GradientObserver = std::function<void(const ConstParameterList&)>;

/// What the caller lends to a pass: threads, workspace and cache must outlive it. Every field may be left out:
///   Threads threads(8);
///   Workspace workspace;  // allocates in the first pass of a size, and not again
///   model.forward(images, {.threads = &threads, .workspace = &workspace});
template <Scalar S>
struct Run {
  Threads* threads = nullptr;      ///< null: the pass runs on the caller's thread alone
  Workspace* workspace = nullptr;  ///< null: the pass allocates its temporaries
  Observer<S> observer = {};       ///< sees every half-step
  bool shows_attention = false;    ///< whether the observer sees attention probabilities too, which cost N^2 K numbers
  DropoutStream dropout = {};      ///< which random numbers dropout draws, in recorded passes; others drop nothing

  /// Keys and values of earlier tokens (a key-value cache), from which the pass continues; see inference/generate.hpp.
  TokenCache<S>* cache = nullptr;

  /// Called during a chain's backward pass, once for each link, as soon as nothing more will be added to its gradient.
  GradientObserver on_complete = {};
};

}  // namespace crate
