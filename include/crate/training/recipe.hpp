// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "crate/core/detail/number_text.hpp"
#include "crate/training/adamw.hpp"
#include "crate/training/any_optimiser.hpp"
#include "crate/training/lion.hpp"
#include "crate/training/schedule.hpp"
#include "crate/training/sgd.hpp"

namespace crate {

/// Everything, other than the data, that the result of a training depends on, as texts by name. A checkpoint contains
/// it, and cannot be resumed with a different recipe.
using Recipe = std::vector<std::pair<std::string, std::string>>;

namespace detail {

inline constexpr std::string_view scheduled_steps_name = "scheduled steps";

/// A number as a text that reads back as the same bits; a flag as "yes" or "no".
template <class Number>
[[nodiscard]] std::string exact_text(Number number) {
  return number_text(number);
}
[[nodiscard]] inline std::string exact_text(bool flag) { return flag ? "yes" : "no"; }

inline std::string decay_name(Decay decay) {
  switch (decay) {
    case Decay::constant:
      return "constant";
    case Decay::linear:
      return "linear";
    case Decay::cosine:
      break;
  }
  return "cosine";
}

}  // namespace detail

/// Appends the options, under names that begin with `prefix`.
inline void describe(Recipe& recipe, const SgdOptions& o) {
  using detail::exact_text;
  recipe.insert(recipe.end(), {{"optimiser", "SGD"},
                               {"rate", exact_text(o.rate)},
                               {"momentum", exact_text(o.momentum)},
                               {"Nesterov", exact_text(o.nesterov)},
                               {"weight decay", exact_text(o.weight_decay)},
                               {"vectors decay", exact_text(o.decay_vectors)}});
}
inline void describe(Recipe& recipe, const AdamWOptions& o) {
  using detail::exact_text;
  recipe.insert(recipe.end(), {{"optimiser", "AdamW"},
                               {"rate", exact_text(o.rate)},
                               {"beta1", exact_text(o.beta1)},
                               {"beta2", exact_text(o.beta2)},
                               {"epsilon", exact_text(o.epsilon)},
                               {"weight decay", exact_text(o.weight_decay)},
                               {"vectors decay", exact_text(o.decay_vectors)}});
}
inline void describe(Recipe& recipe, const LionOptions& o) {
  using detail::exact_text;
  recipe.insert(recipe.end(), {{"optimiser", "Lion"},
                               {"rate", exact_text(o.rate)},
                               {"beta1", exact_text(o.beta1)},
                               {"beta2", exact_text(o.beta2)},
                               {"weight decay", exact_text(o.weight_decay)},
                               {"vectors decay", exact_text(o.decay_vectors)}});
}
inline void describe(Recipe& recipe, const OptimiserOptions& options) {
  std::visit([&](const auto& rule) { describe(recipe, rule); }, options);
}
inline void describe(Recipe& recipe, const Schedule& o) {
  using detail::exact_text;
  recipe.insert(recipe.end(), {{"schedule", detail::decay_name(o.decay)}, {"warm-up", exact_text(o.warm_up)}});
  if (o.decay == Decay::constant) return;
  recipe.insert(recipe.end(), {{std::string(detail::scheduled_steps_name), exact_text(o.steps)},
                               {"final factor", exact_text(o.final_factor)}});
}

}  // namespace crate
