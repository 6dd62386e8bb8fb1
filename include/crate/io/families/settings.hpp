// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "crate/core/detail/number_text.hpp"
#include "crate/core/dropout.hpp"
#include "crate/core/errors.hpp"
#include "crate/core/part.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/kernels/gelu_form.hpp"
#include "crate/layers/inverse.hpp"
#include "crate/layers/ista.hpp"
#include "crate/layers/layer_norm.hpp"
#include "crate/layers/mssa.hpp"
#include "crate/layers/on_directions.hpp"
#include "crate/layers/overcomplete_ista.hpp"
#include "crate/models/image_preprocessing.hpp"
#include "crate/operators/compression.hpp"

// The settings of layers, i.e. everything that defines a layer except its parameters, as texts:
// "layers.3.sparsify.threshold" is "soft".

namespace crate::detail {

/// The names of an enumeration's values, in the order of the values.
template <class Enumeration>
inline constexpr std::array<std::string_view, 0> value_names{};
template <>
inline constexpr std::array<std::string_view, 2> value_names<AttentionMask>{"none", "causal"};
template <>
inline constexpr std::array<std::string_view, 2> value_names<GeluForm>{"exact", "tanh"};
template <>
inline constexpr std::array<std::string_view, 2> value_names<Threshold>{"non_negative", "soft"};
template <>
inline constexpr std::array<std::string_view, 2> value_names<SparsifyRule>{"proximal_gradient",
                                                                           "majorisation_minimisation"};
template <>
inline constexpr std::array<std::string_view, 5> value_names<CompressionStep>{"exact", "first_order", "softmax",
                                                                              "rate_reduction", "soft_partition"};
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

/// The inverse of setting_text. Throws Error that states the expected form.
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

/// A setting, independent of its type.
struct ListedSetting {
  using Value = std::variant<double*, Index*, AttentionMask*, GeluForm*, Threshold*, SparsifyRule*, CompressionStep*>;

  std::string name;
  Value value;

  [[nodiscard]] std::string text() const {
    return std::visit([](const auto* setting) { return setting_text(*setting); }, value);
  }
  /// Throws Error as setting_from_text.
  void set(std::string_view text) const {
    std::visit([&]<class Setting>(Setting* setting) { *setting = setting_from_text<Setting>(text); }, value);
  }
};

/// A layer, independent of its type: what files store in addition to its parameters.
struct ListedLayer {
  /// The form of an attention layer.
  struct Attention {
    Index dim, heads, head_dim;
    std::optional<MssaOutput> output = {};  ///< only for MSSA
  };

  std::string name;
  std::vector<ListedSetting> settings = {};   ///< of this layer, not of its parts
  std::optional<Attention> attention = {};    ///< only for MSSA and self-attention
  std::optional<bool> has_own_decoding = {};  ///< only for overcomplete ISTA
  const void* layer = nullptr;
  void (*check)(const void* layer) = nullptr;

  void add(std::string_view setting, ListedSetting::Value value) {
    settings.push_back({join_names(name, setting), value});
  }
  /// Throws OptionError if a setting is out of range.
  void check_settings() const { check(layer); }
};

// The settings in a struct of options. Structured bindings name all fields, so that a new field cannot
// be forgotten here.

inline void add_settings(ListedLayer& listed, LayerNormOptions& options) {
  auto& [epsilon] = options;
  listed.add("epsilon", &epsilon);
}

/// Without the visible tokens, which a layer reads from the layout of its token sets.
inline void add_settings(ListedLayer& listed, AttentionOptions& options) {
  auto& [mask, visible, logit_scale, rate_factor] = options;
  listed.add("mask", &mask);
  listed.add("logit_scale", &logit_scale);
  listed.add("rate_factor", &rate_factor);
}

/// The kind of step is not named "step", which is a number in all other layers.
inline void add_settings(ListedLayer& listed, CompressionOptions& options) {
  auto& [kappa, epsilon, step, logit_scale, mssa_factor] = options;
  listed.add("kappa", &kappa);
  listed.add("epsilon", &epsilon);
  listed.add("compression_step", &step);
  listed.add("logit_scale", &logit_scale);
  listed.add("mssa_factor", &mssa_factor);
}

inline void add_settings(ListedLayer& listed, IstaOptions& options) {
  auto& [step, lambda, threshold, rule, alpha] = options;
  listed.add("step", &step);
  listed.add("lambda", &lambda);
  listed.add("threshold", &threshold);
  listed.add("rule", &rule);
  listed.add("alpha", &alpha);
}

inline void add_settings(ListedLayer& listed, SparseCodeOptions& options) {
  auto& [step, lambda, steps, threshold] = options;
  listed.add("step", &step);
  listed.add("lambda", &lambda);
  listed.add("threshold", &threshold);
  listed.add("steps", &steps);
}

inline void add_settings(ListedLayer& listed, DirectionOptions& options) {
  auto& [softening] = options;
  listed.add("softening", &softening);
}

inline void add_settings(ListedLayer& listed, InverseOptions& options) {
  auto& [iterations] = options;
  listed.add("iterations", &iterations);
}

/// The settings of this layer, without those of its parts.
template <class Layer>
void add_own_settings(ListedLayer& listed, Layer& layer) {
  if constexpr (requires { layer.token_dropout; }) listed.add("token_dropout", &layer.token_dropout);
  if constexpr (requires { layer.dropout; }) listed.add("dropout", &layer.dropout);
  if constexpr (requires { layer.first_position; }) listed.add("first_position", &layer.first_position);
  if constexpr (requires { layer.form; }) listed.add("form", &layer.form);
  if constexpr (requires { add_settings(listed, layer.attention); }) add_settings(listed, layer.attention);
  if constexpr (requires { add_settings(listed, layer.options); }) add_settings(listed, layer.options);
}

template <class Layer>
void check_own_settings([[maybe_unused]] const Layer& layer) {
  if constexpr (requires { layer.options.check(); }) layer.options.check();
  if constexpr (requires { layer.dropout; }) check_dropout(layer.dropout);
  if constexpr (requires { layer.token_dropout; }) check_dropout(layer.token_dropout);
  if constexpr (requires { layer.first_position; })
    check_option(layer.first_position >= 0 && layer.longest() >= 1,
                 concatenate("first position in 0 to ", layer.positions.cols() - 1), layer.first_position);
}

template <class Layer>
[[nodiscard]] ListedLayer listed(const std::string& name, Layer& layer) {
  ListedLayer result{.name = name, .layer = &layer};
  add_own_settings(result, layer);
  if constexpr (requires { layer.output_kind; })
    result.attention = {layer.subspaces.dim(), layer.subspaces.heads(), layer.subspaces.head_dim(), layer.output_kind};
  else if constexpr (requires {
                       layer.attention;
                       layer.heads;
                     })
    result.attention = {layer.input_dim(), layer.heads, layer.input_dim() / layer.heads};
  if constexpr (requires { layer.decoding; }) result.has_own_decoding = layer.decoding.size() != 0;
  result.check = [](const void* checked) { check_own_settings(*static_cast<const Layer*>(checked)); };
  return result;
}

template <class Layer>
void append_layers(std::vector<ListedLayer>& layers, const std::string& name, Layer& layer) {
  if constexpr (HasParts<Layer>) {
    layers.push_back(listed(name, layer));
    const auto append_part = [&](const auto& part) {
      append_layers(layers, join_names(name, part.name), part.of(layer));
    };
    for_each_entry(Layer::parts(), append_part);
  } else if constexpr (is_vector_of_parts<Layer>) {
    for (std::size_t i = 0; i < layer.size(); ++i) append_layers(layers, join_names(name, std::to_string(i)), layer[i]);
  } else if constexpr (is_optional_part<Layer>) {
    if (layer) append_layers(layers, name, *layer);
  }
}

/// The layer, its parts that are layers, and theirs, recursively; valid as long as the layer lives.
template <class Layer>
[[nodiscard]] std::vector<ListedLayer> list_layers(Layer& layer) {
  std::vector<ListedLayer> layers;
  append_layers(layers, {}, layer);
  return layers;
}

/// list_layers for a const layer, whose settings cannot be changed.
template <class Layer>
[[nodiscard]] std::vector<ListedLayer> list_layers(const Layer& layer) {
  return list_layers(const_cast<Layer&>(layer));
}

/// Calls visit(name, setting) for every setting of the layer, block or model.
template <class Visit, class Layer>
void for_each_setting(const Visit& visit, Layer& layer) {
  for (const ListedLayer& inner : list_layers(layer))
    for (const ListedSetting& setting : inner.settings)
      std::visit([&](auto* value) { visit(setting.name, *value); }, setting.value);
}

}  // namespace crate::detail
