// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/io/detail/number_text.hpp"
#include "crate/io/file_error.hpp"
#include "crate/io/tensor.hpp"
#include "crate/layers/ista.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/overcomplete_ista.hpp"
#include "crate/models/image_preprocessing.hpp"

// The settings of layers: what makes a layer what it is and is no parameter, as texts. "layers.3.sparsify.threshold" is
// "soft".

namespace crate::detail {

/// The names of an enumeration's values, in their order.
template <class Enumeration>
inline constexpr std::array<std::string_view, 0> value_names{};
template <>
inline constexpr std::array<std::string_view, 2> value_names<AttentionMask>{"none", "causal"};
template <>
inline constexpr std::array<std::string_view, 2> value_names<Threshold>{"non_negative", "soft"};
template <>
inline constexpr std::array<std::string_view, 2> value_names<SparsifyRule>{"proximal_gradient",
                                                                           "majorisation_minimisation"};
template <>
inline constexpr std::array<std::string_view, 2> value_names<PictureFit>{"published", "cover"};
template <>
inline constexpr std::array<std::string_view, 2> value_names<PixelOrientation>{"upright", "as_stored"};

template <class Setting>
std::string setting_text(Setting setting) {
  if constexpr (std::is_enum_v<Setting>)
    return std::string(value_names<Setting>.at(static_cast<std::size_t>(setting)));
  else
    return number_text(setting);
}

/// What setting_text made the text from. Throws Error that says what it should be.
template <class Setting>
Setting setting_from_text(std::string_view text) {
  if constexpr (std::is_enum_v<Setting>) {
    std::string expected;
    for (std::size_t i = 0; i < value_names<Setting>.size(); ++i) {
      if (value_names<Setting>[i] == text) return static_cast<Setting>(i);
      expected += concatenate(i == 0 ? "'" : " or '", value_names<Setting>[i], "'");
    }
    throw Error(concatenate("expected ", expected, ", found ", quote(text)));
  } else {
    const auto number = number_from_text<Setting>(text);
    if (!number || !std::isfinite(static_cast<double>(*number)))
      throw Error(concatenate("expected a number, found ", quote(text)));
    return *number;
  }
}

/// Calls visit(name, setting) for every setting of this one layer, not of its parts.
template <class Visit, class Layer>
void visit_own_settings(const Visit& visit, Layer& layer) {
  if constexpr (requires { layer.token_dropout; }) visit("token_dropout", layer.token_dropout);
  if constexpr (requires { layer.dropout; }) visit("dropout", layer.dropout);
  if constexpr (requires { layer.attention.logit_scale; }) {
    visit("mask", layer.attention.mask);
    visit("logit_scale", layer.attention.logit_scale);
    visit("rate_factor", layer.attention.rate_factor);
  }
  if constexpr (requires { layer.options.epsilon; }) visit("epsilon", layer.options.epsilon);
  if constexpr (requires { layer.options.threshold; }) {
    visit("step", layer.options.step);
    visit("lambda", layer.options.lambda);
    visit("threshold", layer.options.threshold);
  }
  if constexpr (requires { layer.options.rule; }) {
    visit("rule", layer.options.rule);
    visit("alpha", layer.options.alpha);
  }
  if constexpr (requires { layer.options.steps; }) visit("steps", layer.options.steps);
}

/// Calls visit(name, layer) for the layer and every layer among its parts, and their parts.
template <class Visit, class Layer>
void for_each_layer(const Visit& visit, Layer& layer, const std::string& name = {}) {
  using Member = std::remove_const_t<Layer>;
  if constexpr (HasParts<Member>) {
    visit(name, layer);
    const auto visit_part = [&](const auto& entry) {
      for_each_layer(visit, layer.*entry.member, join_names(name, entry.name));
    };
    std::apply([&](const auto&... entries) { (visit_part(entries), ...); }, Member::parts());
  } else if constexpr (is_vector_of_parts<Member>) {
    for (std::size_t i = 0; i < layer.size(); ++i) for_each_layer(visit, layer[i], join_names(name, std::to_string(i)));
  } else if constexpr (is_optional_part<Member>) {
    if (layer) for_each_layer(visit, *layer, name);
  }
}

/// Calls visit(name, setting) for every setting of the layer, block or model.
template <class Visit, class Layer>
void for_each_setting(const Visit& visit, Layer& layer) {
  for_each_layer(
      [&](const std::string& name, auto& inner) {
        visit_own_settings([&](std::string_view own, auto& setting) { visit(join_names(name, own), setting); }, inner);
      },
      layer);
}

}  // namespace crate::detail
