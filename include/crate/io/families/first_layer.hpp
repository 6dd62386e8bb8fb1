// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "crate/io/families/settings.hpp"

namespace crate::detail {

/// Settings of the first layers of a stack, which stand for all its layers; empty if it has no such layers.
struct FirstLayer {
  std::optional<Index> heads, head_dim;  ///< of the first attention
  std::optional<double> step, lambda;    ///< of the first ISTA
};

/// The first setting whose full name ends with this word.
[[nodiscard]] inline std::optional<double> first_setting(const std::vector<ListedLayer>& layers,
                                                         std::string_view name) {
  for (const ListedLayer& layer : layers)
    for (const ListedSetting& setting : layer.settings)
      if (setting.name == join_names(layer.name, name))
        if (const auto* const number = std::get_if<double*>(&setting.value)) return **number;
  return std::nullopt;
}

/// Uses the attention of the first layer whose name begins with `stack`.
[[nodiscard]] inline FirstLayer first_layer(const std::vector<ListedLayer>& layers, std::string_view stack = "") {
  FirstLayer first{
      .heads = {}, .head_dim = {}, .step = first_setting(layers, "step"), .lambda = first_setting(layers, "lambda")};
  for (const ListedLayer& layer : layers) {
    if (!layer.attention || !layer.name.starts_with(stack)) continue;
    first.heads = layer.attention->heads;
    first.head_dim = layer.attention->head_dim;
    break;
  }
  return first;
}

template <class Model>
[[nodiscard]] FirstLayer first_layer(const Model& model, std::string_view stack = "") {
  return first_layer(list_layers(model), stack);
}

}  // namespace crate::detail
