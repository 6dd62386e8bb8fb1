// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev), in addition to Eigen.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "crate/core/errors.hpp"
#include "crate/io/families.hpp"
#include "crate/io/families/input_metadata.hpp"
#include "crate/io/families/load_options.hpp"
#include "crate/io/families/settings.hpp"
#include "crate/io/formats/file_error.hpp"
#include "crate/io/formats/tensor.hpp"
#include "crate/layers/mssa.hpp"

// The metadata with which a file describes a model in addition to its tensors: the family, sizes that the tensors do
// not determine, and every setting that is not as published.

namespace crate::detail {

/// "a.12.b" as "a.0.b": the name of the setting in the first of several layers.
inline std::string in_first_layer(std::string_view name) {
  std::string first;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool is_index = i > 0 && name[i - 1] == '.' && name[i] >= '0' && name[i] <= '9';
    first += is_index ? '0' : name[i];
    while (is_index && i + 1 < name.size() && name[i + 1] != '.') ++i;
  }
  return first;
}

/// Throws OptionError if the published tensors cannot represent the model.
inline void check_publishable(const std::vector<ListedLayer>& layers,
                              const std::vector<ListedLayer>& published_layers) {
  std::map<std::string, Index> heads;  // of the first layer in each stack
  std::map<std::string, bool> has_own_decoding;
  for (const ListedLayer& layer : published_layers)
    if (layer.has_own_decoding) has_own_decoding.emplace(layer.name, *layer.has_own_decoding);
  for (const ListedLayer& layer : layers) {
    if (const auto& attention = layer.attention) {
      const Index expected = heads.emplace(in_first_layer(layer.name), attention->heads).first->second;
      check_option(attention->heads == expected,
                   concatenate(layer.name, ": as many heads as in the first layer, ", expected), attention->heads);
      const MssaOutput published = published_output(attention->dim, attention->heads, attention->head_dim);
      check_option(attention->output.value_or(published) == published,
                   concatenate(layer.name, published == MssaOutput::free ? ": a free output map" : ": no output map",
                               ", as the published format has"),
                   attention->output == MssaOutput::tied ? "a tied one" : "another");
    }
    if (!layer.has_own_decoding) continue;
    const bool own = has_own_decoding.at(in_first_layer(layer.name));
    check_option(*layer.has_own_decoding == own,
                 concatenate(layer.name, own ? ": a decoding of its own" : ": a tied decoding"),
                 own ? "a tied one" : "one of its own");
  }
}

/// The settings that differ from the published ones, as metadata.
inline Metadata unpublished_settings(const std::vector<ListedLayer>& layers,
                                     const std::vector<ListedLayer>& published_layers) {
  std::map<std::string, std::string> published;
  for (const ListedLayer& layer : published_layers)
    for (const ListedSetting& setting : layer.settings) published.emplace(setting.name, setting.text());
  Metadata metadata;
  for (const ListedLayer& layer : layers)
    for (const ListedSetting& setting : layer.settings)
      if (std::string text = setting.text(); text != published.at(in_first_layer(setting.name)))
        metadata.emplace_back("crate." + setting.name, std::move(text));
  return metadata;
}

/// A model's description in addition to its tensors. Throws OptionError if published tensors cannot represent it.
template <class Model, PublishedFamily Family = FamilyOf<Model>>
[[nodiscard]] Metadata metadata_of(const Model& model) {
  const std::vector<ListedLayer> layers = list_layers(model);
  const Model published(Family::smallest_like(model));
  const std::vector<ListedLayer> published_layers = list_layers(std::as_const(published));
  check_publishable(layers, published_layers);
  Metadata metadata{{"crate.family", std::string(Family::name)}};
  const LoadOptions options_to_load = Family::options_to_load(model);
  for_each_entry(Family::load_options, [&](const auto& option) { append(metadata, option, options_to_load); });
  append_input(metadata, model);
  for (auto& setting : unpublished_settings(layers, published_layers)) metadata.push_back(std::move(setting));
  return metadata;
}

/// The keys that the metadata of a model with these layers may have.
template <class Model, PublishedFamily Family>
[[nodiscard]] std::set<std::string, std::less<>> known_keys(const std::vector<ListedLayer>& layers) {
  std::set<std::string, std::less<>> known{"crate.family"};
  const auto insert = [&](const auto& option) {
    if constexpr (requires { option.key; }) known.emplace(option.key);
  };
  for_each_entry(Family::load_options, insert);
  if constexpr (HasPreprocessing<Model>) known.insert(preprocessing_keys.begin(), preprocessing_keys.end());
  if constexpr (KnowsItsHead<Model>) known.emplace(head_key);
  for (const ListedLayer& layer : layers)
    for (const ListedSetting& setting : layer.settings) known.insert("crate." + setting.name);
  return known;
}

/// Throws FileError if our metadata are of another family, or have keys that a model of these layers does not have.
template <class Model, PublishedFamily Family>
void check_metadata(const TensorTable& weights, const std::vector<ListedLayer>& layers) {
  const auto known = known_keys<Model, Family>(layers);
  for (const auto& [key, text] : weights.metadata()) {
    if (key == "crate.family" && text != Family::name)
      throw file_error(weights.source(), "metadata 'crate.family': expected ", quote(Family::name), ", found ",
                       quote(text));
    const bool names_classes = HasClassNames<Model> && key.starts_with(class_names_key);
    if (key.starts_with("crate.") && !known.contains(key) && !names_classes)
      throw file_error(weights.source(), "metadata ", quote(key), ": expected a setting of a model of family ",
                       quote(Family::name), ", found one that it does not have");
  }
}

/// Sets the layers' settings from our metadata, except a step and a lambda given by the caller.
/// Throws FileError if one is invalid.
inline void apply_settings(const std::vector<ListedLayer>& layers, const TensorTable& weights,
                           const LoadOptions& given) {
  std::string key;
  try {
    for (const ListedLayer& layer : layers)
      for (const ListedSetting& setting : layer.settings) {
        key = "crate." + setting.name;
        const std::string* const text = weights.find_metadata(key);
        const bool is_given = (given.step && key.ends_with(".step")) || (given.lambda && key.ends_with(".lambda"));
        if (text != nullptr && !is_given) setting.set(*text);
      }
    for (const ListedLayer& layer : layers) {
      key = "crate." + layer.name;
      layer.check_settings();
    }
  } catch (const Error& error) { throw file_error(weights.source(), "metadata ", quote(key), ": ", error.what()); }
}

}  // namespace crate::detail
